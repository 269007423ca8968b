"""Whether a file's next change is sure to show in its fingerprint."""

from __future__ import annotations

import os
import time
from typing import Final

PATIENCE: Final = 0.05
"""Seconds for which the file system's clock may be waited for: a tick takes some ms."""

_LOOK = 0.002
_ELSEWHERE = 24 * 3600 * 10**9
"""Age (ns) at which a file of another file system counts as settled: nothing is known of
that one's clock, but that it is not a day wrong."""


def is_settled(file: int, probe: int) -> bool:
    """Return whether any later change of an open file is sure to show.

    A change is given the time of the file system's clock, which goes in ticks, of whole
    seconds on some. Two changes within one tick look the same. So a fingerprint counts
    only if the clock has gone on since the file's last change; that is seen by `probe`,
    which the same clock stamps. Nobody's clock is compared with another's.

    Parameters
    ----------
    file
        Descriptor of the file, which is going to be read from now on.
    probe
        Descriptor of a file of this worker's, open for writing, on the same file system.
    """
    found = os.fstat(file)
    last = found.st_ctime_ns
    if found.st_dev != os.fstat(probe).st_dev:
        return last + _ELSEWHERE < os.fstat(probe).st_ctime_ns
    end = time.monotonic() + PATIENCE
    while os.fstat(probe).st_ctime_ns <= last:
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK)
        # Gets the present time.
        os.utime(probe)
    return True
