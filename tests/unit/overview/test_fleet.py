"""Whether the workers that live go together, and what is said where they do not."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from icfqueue.core.steps import QUEUES
from icfqueue.ledger.roster import Sign
from icfqueue.overview.fleet import Trait, compare, other_bytes

VERSIONS = {
    "icfqueue": "1.0",
    "python": "3.11.7",
    "git": "2.39.5",
    "git-annex": "10.20261026",
    "datalad": "1.7.1",
}
GB = 10**9
SAMPLE = "4cda555cdb44"


def a_sign(number: int, **more: Any) -> Sign:
    whole = Sign(
        name=f"node{number:02}:7",
        host=f"node{number:02}",
        pid=7,
        since=100.0,
        seen=1000.0,
        clock=1000.5,
        queues=QUEUES,
        versions=VERSIONS,
        sample=SAMPLE,
        glibc="2.36",
        umask="022",
        store_id="0123456789ab",
        store_dir="/data/icf",
        disk_free=500 * GB,
        disk_total=1000 * GB,
    )
    return structs.replace(whole, **more)


def told(*signs: Sign) -> dict[str, Trait]:
    return {trait.what: trait for trait in compare(signs, GB)}


def with_version(name: str, version: str) -> dict[str, str]:
    return VERSIONS | {name: version}


def test_workers_that_are_alike_are_well() -> None:
    found = told(a_sign(1), a_sign(2))
    assert not [trait for trait in found.values() if trait.bad or trait.note]
    assert found["workers"].found == "2 on 2 machines"
    assert found["git"].found == "2.39.5, on all"
    assert found["store directory"].found == "one for all, at /data/icf"


def test_a_fleet_of_none_is_an_error_for_whoever_checks_it() -> None:
    assert told()["workers"].bad


def test_a_worker_that_would_write_other_bytes_is_an_error() -> None:
    """Though all versions are the same: it may have another zlib."""
    signs = [a_sign(1), a_sign(2), a_sign(3, sample="6bba69bcf70a")]
    found = told(*signs)["deposits"]
    assert found.bad
    assert found.found == (
        "sample 4cda555c on node01:7, node02:7; sample 6bba69bc on node03:7: they write "
        "other bytes for the same tarball"
    )
    assert "queues catalog, export" in found.remedy
    assert other_bytes(signs) == found.found


def test_it_is_none_with_a_worker_that_writes_no_deposits() -> None:
    other = a_sign(3, sample="6bba69bcf70a", queues=("fetch", "index"))
    assert not told(a_sign(1), other)["deposits"].bad
    assert other_bytes([a_sign(1), other]) == ""
    alone = a_sign(1, queues=("fetch",), sample="")
    assert "deposits" not in told(alone)


@pytest.mark.parametrize("name", ["icfqueue", "git", "git-annex"])
def test_another_version_of_what_writes_deposits_is_said_where_the_bytes_are_the_same(
    name: str,
) -> None:
    other = a_sign(3, versions=with_version(name, "0.9"))
    found = told(a_sign(1), a_sign(2), other)
    assert found[name].note
    assert not found[name].bad
    assert f"{VERSIONS[name]} on node01:7, node02:7; 0.9 on node03:7" in found[name].found
    assert found["deposits"].found == "the same bytes by all (sample 4cda555c)"


@pytest.mark.parametrize("name", ["icfqueue", "git", "git-annex"])
def test_it_is_an_error_where_one_does_not_tell_what_it_would_write(name: str) -> None:
    """As one of an older release."""
    other = a_sign(3, versions=with_version(name, "0.9"), sample="")
    found = told(a_sign(1), a_sign(2), other)
    assert found[name].bad
    assert "queues catalog, export" in found[name].remedy
    assert found["deposits"].note
    assert "node03:7" in found["deposits"].found


def test_what_is_not_found_is_an_error_where_it_is_needed() -> None:
    lacking = [a_sign(n, versions=with_version("git-annex", "")) for n in (1, 2)]
    assert "not found by node01:7, node02:7" in told(*lacking)["git-annex"].found
    assert told(*lacking)["git-annex"].bad


@pytest.mark.parametrize(
    ("what", "more"),
    [
        ("python", {"versions": with_version("python", "3.13.1")}),
        ("datalad", {"versions": with_version("datalad", "1.8")}),
        ("glibc", {"glibc": "2.28"}),
        ("umask", {"umask": "077"}),
        ("clock", {"clock": 1060.0}),
        ("store directory", {"disk_total": 7 * GB}),
    ],
)
def test_what_else_differs_is_said(what: str, more: dict[str, Any]) -> None:
    found = told(a_sign(1), a_sign(2, **more))[what]
    assert found.note
    assert not found.bad


def test_a_clock_is_told_with_its_sign() -> None:
    assert "-90 s on node02" in told(a_sign(1), a_sign(2, clock=910.0))["clock"].found


def test_another_store_is_an_error() -> None:
    found = told(a_sign(1), a_sign(2, store_id="ffffffffffff", store_dir="/x"))
    assert found["store directory"].bad
    assert "/x (id ffffffff) on node02:7" in found["store directory"].found


def test_a_worker_that_does_not_see_the_store_is_named_with_its_path() -> None:
    found = told(a_sign(1), a_sign(2, store_id="", disk_free=None, disk_total=None))
    assert found["store directory"].bad
    assert "node02:7" in found["store directory"].found
    assert found["free disk"].bad


def test_a_store_that_was_never_used_has_no_id_to_compare() -> None:
    found = told(a_sign(1, store_id=""), a_sign(2, store_id=""))["store directory"]
    assert found.note
    assert "no id yet" in found.found


def test_one_store_may_have_another_path_on_each_machine() -> None:
    found = told(a_sign(1), a_sign(2, store_dir="/mnt/icf"))["store directory"]
    assert found.found == "one for all, at /data/icf and /mnt/icf"


def test_a_full_disk_is_an_error() -> None:
    found = told(a_sign(1), a_sign(2, disk_free=GB // 2))["free disk"]
    assert found.bad
    assert "500.0 MB for node02:7" in found.found


def test_versions_of_a_worker_that_has_just_started_are_not_compared() -> None:
    found = told(a_sign(1), a_sign(2, versions={}))
    assert not found["git"].bad
    assert "not yet known of node02:7" in found["versions"].found
    assert "git" not in told(a_sign(1, versions={}))


def test_of_many_workers_a_few_are_named() -> None:
    many = [a_sign(n, umask="002") for n in range(1, 41)]
    found = told(a_sign(99), *many)["umask"]
    assert found.found == (
        "002 on node01:7, node02:7, node03:7 and 37 more; 022 on node99:7"
    )
