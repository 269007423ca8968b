"""What outputs were made from, and whether a visit needs its tarball no more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from support.outputs import record
from support.reading import counted_opens

from icfqueue.core.errors import BadMetadata
from icfqueue.core.visit import Visit
from icfqueue.outputs import completeness, metadata_files
from icfqueue.outputs.completeness import (
    Recorded,
    count_of_dicoms,
    recorded,
    right_source,
    whole_deposit,
    without_tarball,
)
from icfqueue.outputs.deposit import Deposit
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store

V = Visit("study_1", "v")
CONTENT = b"tarball" * 10
TOLD = Recorded(len(CONTENT), hashlib.md5(CONTENT).hexdigest())


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Job:
    """A visit with every output, without its tarball."""
    made = make_job(V.id, V.project)
    record(made, CONTENT)
    return made


@pytest.fixture
def url(job: Job) -> str:
    return job.options.store_url


def remove(store: Store, *names: str) -> None:
    for name in names:
        store.path(V, name).unlink()


@pytest.mark.usefixtures("job")
def test_what_the_outputs_were_made_from_is_said_by_the_metadata_or_the_deposit(
    store: Store,
) -> None:
    assert recorded(store, V) == TOLD
    remove(store, V.metadata_tarball, V.metadata_dicoms)
    assert recorded(store, V) == TOLD
    remove(store, V.refs)
    assert recorded(store, V) is None


@pytest.mark.usefixtures("job")
def test_damaged_metadata_are_not_passed_over(store: Store, url: str) -> None:
    store.path(V, V.metadata_tarball).write_text("{")
    for ask in (
        lambda: recorded(store, V),
        lambda: whole_deposit(store, V, url),
        lambda: count_of_dicoms(store, V, url),
    ):
        with pytest.raises(BadMetadata):
            ask()


def test_a_deposit_is_right_for_its_store_its_tarball_and_its_metadata(
    job: Job, store: Store, url: str
) -> None:
    found = whole_deposit(store, V, url)
    assert found is not None
    deposit, source = found
    assert (source.size, source.md5) == (TOLD.size, TOLD.md5)
    assert whole_deposit(store, V, f"{url}/") == found
    assert whole_deposit(store, V, "https://other.example.org") is None
    for wrong in (
        replace(source, md5="f" * 32),
        replace(source, size=source.size + 1),
        replace(source, metadata="f" * 32),
        None,
    ):
        other = Deposit(deposit.refs, wrong)
        assert right_source(other, job.store, V, url) is None
    assert right_source(None, store, V, url) is None


@pytest.mark.usefixtures("job")
def test_where_metadata_were_removed_the_deposits_own_word_is_taken(
    store: Store, url: str
) -> None:
    remove(store, V.metadata_tarball)
    assert whole_deposit(store, V, url) is not None
    remove(store, V.metadata_dicoms)
    assert whole_deposit(store, V, url) is not None


@pytest.mark.parametrize(
    ("version", "tarball", "outdated"),
    [(1, True, True), (1, False, False), (2, True, False), (3, True, False)],
)
def test_an_older_format_is_outdated_where_the_tarball_is_here(
    job: Job, url: str, version: int, tarball: bool, outdated: bool
) -> None:
    if tarball:
        job.store.path(V, V.tarball).write_bytes(CONTENT)
    found = whole_deposit(job.store, V, url)
    assert found is not None
    source = replace(found[1], format=version)
    assert completeness.is_outdated(source, job.store, V) is outdated
    kept = right_source(replace(found[0], source=source), job.store, V, url)
    assert kept == (None if outdated else source)


@pytest.mark.usefixtures("job")
def test_the_list_is_read_only_if_all_else_is_right(store: Store, url: str) -> None:
    with counted_opens() as opens:
        assert whole_deposit(store, V, "https://other.example.org") is None
        remove(store, V.repo_export)
        assert whole_deposit(store, V, url) is None
    assert opens[V.metadata_dicoms] == 0


@pytest.mark.parametrize(
    ("missing", "options", "expected"),
    [
        ((), {}, True),
        ((V.metadata_tarball, V.metadata_dicoms), {}, True),
        # A removal that broke off is completed; else half the metadata are a fault.
        ((V.metadata_tarball,), {}, False),
        ((V.metadata_tarball,), {"remove_metadata": True}, True),
        ((V.metadata_dicoms,), {"remove_metadata": True}, False),
        ((V.refs,), {}, False),
        ((V.repo_export,), {}, False),
        ((), {"force": True}, False),
        ((), {"store_url": "https://other.example.org"}, False),
    ],
)
def test_a_visit_needs_no_tarball_if_all_else_is_there(
    job: Job, missing: tuple[str, ...], options: dict[str, Any], expected: bool
) -> None:
    remove(job.store, *missing)
    asked = replace(job.options, **options)
    assert without_tarball(job.store, V, asked) is expected


def test_a_visit_whose_tarball_is_here_is_looked_at_by_it(job: Job) -> None:
    job.store.path(V, V.tarball).write_bytes(CONTENT)
    assert not without_tarball(job.store, V, job.options)


@pytest.mark.usefixtures("job")
def test_the_number_of_dicoms_is_the_deposits_word_and_nothing_is_parsed(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of 100,000 files takes a second to parse, its MD5 a tenth."""
    found = whole_deposit(store, V, url)
    assert found is not None
    source = replace(found[1], dicoms=5460)
    monkeypatch.setattr(
        completeness.deposit, "read", lambda *_: Deposit(found[0].refs, source)
    )
    monkeypatch.setattr(metadata_files, "_parsed", parsing_only_the_tarballs)
    with counted_opens() as opens:
        assert count_of_dicoms(store, V, url) == 5460
    assert opens[V.metadata_dicoms] == 1


def parsing_only_the_tarballs(path: object, content: bytes) -> object:
    assert str(path).endswith(V.metadata_tarball), f"{path} was parsed"
    return json.loads(content)


@pytest.mark.parametrize("why", ["no deposit", "another list"])
@pytest.mark.usefixtures("job")
def test_where_the_deposit_does_not_say_it_the_list_is_counted(
    store: Store, url: str, why: str
) -> None:
    entry = {"path": "a", "md5": "0" * 32, "size": 1}
    path = store.path(V, V.metadata_dicoms)
    if why == "no deposit":
        remove(store, V.refs)
    path.write_text(json.dumps([entry, {**entry, "path": "b"}]))
    with counted_opens() as opens:
        assert count_of_dicoms(store, V, url) == 2
    assert opens[V.metadata_dicoms] == 1


@pytest.mark.usefixtures("job")
def test_a_list_that_is_missing_is_not_counted_by_the_deposits_word(
    store: Store, url: str
) -> None:
    remove(store, V.metadata_dicoms)
    with pytest.raises(BadMetadata, match="missing"):
        count_of_dicoms(store, V, url)
