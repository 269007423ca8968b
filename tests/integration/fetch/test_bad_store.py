"""Step ``fetch`` from a store that breaks off, lies, or does not do ranges well."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Any

import pytest
from support.faulty_store import FaultyStore
from support.fetch import (
    CONTENT,
    IMPATIENT,
    MD5,
    TAR_PATH,
    VISIT,
    BreakingGuard,
    assert_fetched,
    bytes_counted,
    impatient,
    in_store,
    leftovers,
    parts_of,
    tarball_of,
)
from support.guards import CountingGuard

from icfqueue.core.errors import Interrupted, NetworkTrouble, PermanentError, StoreBusy
from icfqueue.steps import fetch
from icfqueue.steps.job import Job

# Trouble that passes


@pytest.mark.parametrize("kind", ["cut", "reset", "stall"])
def test_a_download_that_breaks_off_is_resumed(
    web: FaultyStore, job: Job, kind: Any
) -> None:
    """Each byte is sent once: the second try asks for the rest alone."""
    web.fail(kind, path=TAR_PATH, after=1_000_000)
    with pytest.raises(NetworkTrouble):
        fetch.run(impatient(job) if kind == "stall" else job)
    assert not tarball_of(job).exists()
    (left,) = parts_of(job)
    have = left.stat().st_size
    assert have > 0
    web.clear()
    second = CountingGuard()
    fetch.run(replace(job, guard=second))
    assert_fetched(job)
    assert web.seen[-1][2]["Range"] == f"bytes={have}-"
    assert second.bytes == len(CONTENT) - have
    assert web.count("GET", TAR_PATH, 206) == 1


def test_many_breaks_are_no_obstacle(web: FaultyStore, job: Job) -> None:
    web.fail("cut", path=TAR_PATH, after=500_000, times=5)
    for _ in range(5):
        with pytest.raises(NetworkTrouble):
            fetch.run(job)
    fetch.run(job)
    assert_fetched(job)
    assert bytes_counted(job) == len(CONTENT)


def test_a_file_that_got_shorter_in_the_middle_is_noticed(
    web: FaultyStore, job: Job
) -> None:
    """Fewer bytes than announced are an error also without an MD5."""
    in_store(web, VISIT.md5sum).unlink()
    web.fail("cut", path=TAR_PATH, after=2_999_999)
    with pytest.raises(NetworkTrouble, match="ended 1 bytes before the length"):
        fetch.run(job)
    fetch.run(job)
    assert_fetched(job)


@pytest.mark.parametrize("after", [0, 2_999_999])
def test_wrong_bytes_are_thrown_away(web: FaultyStore, job: Job, after: int) -> None:
    web.fail("wrong", path=TAR_PATH, after=after)
    with pytest.raises(NetworkTrouble, match=rf"[0-9a-f]{{32}}.* publishes {MD5}"):
        fetch.run(job)
    assert not tarball_of(job).exists()
    assert leftovers(job) == []
    fetch.run(job)
    assert_fetched(job)


def test_wrong_bytes_before_a_break_are_noticed_after_it(
    web: FaultyStore, job: Job
) -> None:
    """The bytes of the first part are hashed too."""
    web.fail("cut", path=TAR_PATH, after=1_000_000)
    with pytest.raises(NetworkTrouble):
        fetch.run(job)
    (left,) = parts_of(job)
    with left.open("r+b") as file:
        file.write(b"wrong")
    with pytest.raises(NetworkTrouble, match="publishes"):
        fetch.run(job)
    fetch.run(job)
    assert_fetched(job)


def test_a_slow_store_is_waited_for(web: FaultyStore, job: Job) -> None:
    """As long as bytes come at all, the time between two reads counts, not the whole."""
    web.fail("slow", path=TAR_PATH, rate=3_000_000)
    began = time.monotonic()
    fetch.run(impatient(job))
    assert time.monotonic() - began > IMPATIENT
    assert_fetched(job)


@pytest.mark.parametrize("path", [TAR_PATH, f"{TAR_PATH}.md5sum"])
def test_an_error_of_the_server_may_pass(web: FaultyStore, job: Job, path: str) -> None:
    web.fail("status", status=500, path=path)
    with pytest.raises(NetworkTrouble, match="answers 500"):
        fetch.run(job)
    assert leftovers(job) == []
    fetch.run(job)
    assert_fetched(job)


def test_a_busy_store_is_told_apart(web: FaultyStore, job: Job) -> None:
    web.fail("status", status=503, headers={"Retry-After": "9"}, path=TAR_PATH)
    with pytest.raises(StoreBusy) as caught:
        fetch.run(job)
    assert caught.value.retry_after == 9


def test_a_store_that_stalls_before_it_answers_is_left(web: FaultyStore, job: Job) -> None:
    web.fail("stall", path=TAR_PATH)
    with pytest.raises(NetworkTrouble, match="in time"):
        fetch.run(impatient(job))


def test_a_store_that_is_away_is_network_trouble(web: FaultyStore, job: Job) -> None:
    web.close()
    with pytest.raises(NetworkTrouble, match="refused"):
        fetch.run(job)


# Servers that do not do ranges well


@pytest.mark.parametrize("kind", ["no_range", "range_not_satisfiable"])
def test_where_a_part_is_not_granted_the_download_starts_over(
    web: FaultyStore, job: Job, kind: Any
) -> None:
    web.fail("cut", path=TAR_PATH, after=1_000_000)
    with pytest.raises(NetworkTrouble):
        fetch.run(job)
    web.fail(kind, path=TAR_PATH)
    fetch.run(job)
    assert_fetched(job)


def test_without_a_validator_nothing_is_resumed(web: FaultyStore, job: Job) -> None:
    web.fail("no_validators", path=TAR_PATH, times=None)
    with pytest.raises(Interrupted):
        fetch.run(replace(job, guard=BreakingGuard(Interrupted("stop"), 500_000)))
    fetch.run(job)
    assert_fetched(job)
    assert all("Range" not in headers for *_, headers in web.seen)


def test_a_server_that_ignores_if_range_cannot_mix_two_tarballs(
    web: FaultyStore, job: Job
) -> None:
    in_store(web, VISIT.md5sum).unlink()
    web.fail("cut", path=TAR_PATH, after=1_000_000)
    with pytest.raises(NetworkTrouble):
        fetch.run(job)
    other = CONTENT[::-1]
    in_store(web).write_bytes(other)
    web.fail("no_if_range", path=TAR_PATH)
    fetch.run(job)
    assert tarball_of(job).read_bytes() == other
    assert web.count("GET", TAR_PATH, 206) == 1


def test_a_tarball_that_changed_between_two_tries_starts_over(
    web: FaultyStore, job: Job
) -> None:
    """The same length, other bytes: no mixture of the two appears."""
    web.fail("cut", path=TAR_PATH, after=1_000_000)
    with pytest.raises(NetworkTrouble):
        fetch.run(job)
    other = CONTENT[::-1]
    in_store(web).write_bytes(other)
    in_store(web, VISIT.md5sum).unlink()
    os.utime(in_store(web), (1, 1))
    fetch.run(job)
    assert tarball_of(job).read_bytes() == other
    assert web.count("GET", TAR_PATH, 206) == 0


@pytest.mark.parametrize("kind", ["no_length", "chunked"])
def test_a_tarball_of_unknown_length_is_refused(
    web: FaultyStore, job: Job, kind: Any
) -> None:
    web.fail(kind, path=TAR_PATH)
    with pytest.raises(PermanentError, match="without a usable Content-Length"):
        fetch.run(job)
    assert leftovers(job) == []


def test_a_page_to_log_in_is_no_tarball(web: FaultyStore, job: Job) -> None:
    web.fail("page", path=TAR_PATH)
    with pytest.raises(PermanentError, match="is a web page, not a tarball"):
        fetch.run(job)
