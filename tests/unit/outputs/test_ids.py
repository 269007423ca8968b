"""Ids are the same for ever and everywhere: catalogs and clones refer to them."""

from __future__ import annotations

from uuid import UUID

from icfqueue.core.visit import Visit
from icfqueue.outputs import ids

URL = "https://data.example.org"
V, W = Visit("study_1", "visit_1"), Visit("study_1", "visit_2")


def test_ids_are_those_that_were_given_before() -> None:
    assert str(ids.dataset_id(URL, V)) == "00c0313b-4193-5dc6-bebd-9f7043293f88"
    assert ids.dataset_id(URL, V).version == 5
    of_all = "955c643c-0c68-58ad-80fe-0850447d81f3"
    assert str(ids.superdataset_id(URL, "study_1")) == of_all


def test_stores_visits_datasets_and_remotes_have_ids_of_their_own() -> None:
    made: set[UUID] = set()
    for url in (URL, "https://other.example.org"):
        for visit in (V, W, Visit("study_2", "visit_1")):
            made.add(ids.dataset_id(url, visit))
            made.add(ids.superdataset_id(url, visit.project))
            made |= {ids.remote_uuid(url, visit, name) for name in ("uncurl", "archivist")}
    assert len(made) == 2 * 3 * 3 + 2 * 2


def test_a_slash_at_the_end_of_the_stores_address_changes_nothing() -> None:
    assert ids.dataset_id(f"{URL}/", V) == ids.dataset_id(URL, V)
    assert ids.superdataset_id(f"{URL}/", "p") == ids.superdataset_id(URL, "p")
    assert ids.remote_uuid(f"{URL}/", V, "uncurl") == ids.remote_uuid(URL, V, "uncurl")
