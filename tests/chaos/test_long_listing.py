"""A project with very many visits: its listing is read as it arrives."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from support.chaos_project import LONG
from support.raw_server import RawServer, listing

VISITS = 1_000_000 if LONG else 50_000

READ = """
import resource, sys
from icfqueue.remote.client import RemoteStore
with RemoteStore(sys.argv[1]) as remote:
    found = len(remote.visits("study_1"))
used = resource.getrusage(resource.RUSAGE_SELF)
# Its peak since it was started; ru_maxrss counts whoever started it, too.
peak = open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]
print(found, used.ru_utime + used.ru_stime, peak)
"""


def test_a_long_listing_is_read_in_seconds_and_little_more_than_its_visits_is_kept() -> (
    None
):
    """Of its own time, for the machine may be busy; 200 bytes for each visit's id."""

    def answer(_: str) -> Iterator[bytes]:
        yield from listing(f"visit_{number:07}_dicom.tar" for number in range(VISITS))

    with RawServer(answer) as web:
        done = subprocess.run(
            [sys.executable, "-c", READ, web.url],
            capture_output=True,
            text=True,
            check=True,
        )
    found, seconds, kilobytes = done.stdout.split()
    assert int(found) == VISITS
    assert float(seconds) < 20
    assert int(kilobytes) < 80_000 + VISITS * 0.2
    sys.stdout.write(f"chaos: {found} visits listed in {seconds} s, {kilobytes} kB\n")
