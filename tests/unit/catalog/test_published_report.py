"""A report in the catalog: the study page says so, and it stays."""

from __future__ import annotations

import json

import pytest
from support.guards import LosingGuard
from support.metadata import write_metadata

from icfqueue.catalog import pages, published_report, study
from icfqueue.core.errors import LeaseLost, UsageError
from icfqueue.core.guard import UNGUARDED
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.store.directory import Store

PROJECT, URL = "study_1", "https://data.example.org"


@pytest.fixture
def store(store: Store) -> Store:
    store.project_dir(PROJECT).mkdir()
    add(store, "v1")
    return store


def add(store: Store, name: str) -> None:
    visit = Visit(PROJECT, name)
    write_metadata(store, visit)
    study.add_visits(store, PROJECT, [visit], URL, Settings(store_dir=store.root))


def says_so(store: Store) -> bool:
    where = pages.page_path(pages.study_id(URL, PROJECT))
    page = json.loads((store.catalog_dir(PROJECT) / where).read_bytes())
    return {"name": "Report", "value": "report.html"} in page["top_display"]


def test_it_appears_with_the_word_for_it_and_stays(store: Store) -> None:
    assert not says_so(store)
    target = published_report.publish(store, PROJECT, URL, "one", UNGUARDED)
    published_report.publish(store, PROJECT, URL, "two", UNGUARDED)
    assert target == store.catalog_dir(PROJECT) / "report.html"
    for change in (
        lambda: None,
        lambda: add(store, "v2"),
        lambda: study.rebuild(store, PROJECT, URL, Settings(store_dir=store.root)),
    ):
        change()
        assert target.read_text() == "two"
        assert says_so(store)


def test_the_page_is_the_one_that_the_next_visit_would_leave(store: Store) -> None:
    published_report.publish(store, PROJECT, URL, "x", UNGUARDED)
    where = store.catalog_dir(PROJECT) / pages.page_path(pages.study_id(URL, PROJECT))
    before = where.read_bytes()
    add(store, "v1")
    assert where.read_bytes() == before


def test_without_a_catalog_or_the_lock_nothing_appears(store: Store) -> None:
    with pytest.raises(UsageError, match="no catalog") as caught:
        published_report.publish(store, "study_2", URL, "x", UNGUARDED)
    assert caught.value.hint == "icfqueue catalog study_2"
    with pytest.raises(LeaseLost):
        published_report.publish(store, PROJECT, URL, "x", LosingGuard(0))
    assert not (store.catalog_dir(PROJECT) / "report.html").exists()
    assert not says_so(store)


def test_a_catalog_for_another_store_url_is_said_to_be_one(store: Store) -> None:
    """To make it anew, as one that is missing, would point its datasets elsewhere."""
    with pytest.raises(UsageError, match="is not for https://other") as caught:
        published_report.publish(store, PROJECT, "https://other", "x", UNGUARDED)
    assert "icfqueue catalog" not in caught.value.hint
    assert "--store-url" in caught.value.hint
    assert published_report.of_another_store(store, PROJECT, URL) is None
    assert published_report.of_another_store(store, "study_2", URL) is None
