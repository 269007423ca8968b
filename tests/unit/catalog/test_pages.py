"""The pages as data: what is shown, how much of it, and in the layout of DataLad's."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

from icfqueue.catalog import pages, site
from icfqueue.core.visit import Visit
from icfqueue.outputs import ids
from icfqueue.tarball.dicom_tags import NAMES

PROJECT = "study_1"
URL = "https://data.example.org"
V = Visit(PROJECT, "v1")


def test_pages_are_what_catalog_add_of_datalad_makes_of_the_same_records(
    tmp_path: Path,
) -> None:
    """Same layout, same place: other tools of DataLad can go on with the catalog."""
    visits = [Visit(PROJECT, name) for name in ("v1", "v2")]
    records, entries = [], []
    for visit in visits:
        entry = dict.fromkeys(NAMES, "") | {"Modality": "MR", "SeriesNumber": 3}
        summary = pages.summarize(visit, 1000, [entry])
        dataset_id = str(ids.dataset_id(URL, visit))
        records.append(pages.visit_record(summary, dataset_id, "datalad-annex::?x"))
        entries.append(pages.study_entry(summary, dataset_id))
    records.append(pages.study_record(PROJECT, pages.study_id(URL, PROJECT), entries))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # RefResolver
        from datalad_catalog.webcatalog import WebCatalog

        theirs = WebCatalog(str(tmp_path / "theirs"))
        theirs.create()
        for record in records:
            theirs.schema_validator.validate(record)
            site.check_record(record)
            theirs.add_record(json.loads(json.dumps(record)))
    for record in records:
        written = tmp_path / "theirs" / pages.page_path(record["dataset_id"])
        assert json.loads(written.read_text()) == pages.node(record)


def test_values_are_distinct_sorted_and_flat() -> None:
    raw = [
        {"SeriesNumber": 10},
        {"SeriesNumber": 9},
        {"SeriesNumber": ""},
        {"SeriesNumber": [9, "x"]},
        {"SeriesNumber": None},
        {"SeriesNumber": float("nan")},
        {"SeriesNumber": 2**60},
        {"SeriesNumber": " "},
        {},
    ]
    found = pages.summarize(Visit("p", "v"), 0, raw).values["SeriesNumber"]
    assert found == [9, 10, str(2**60), "nan", "x"]


def test_number_and_length_of_shown_values_are_limited() -> None:
    raw = [{"ProtocolName": f"{number:06d}" + "x" * 999} for number in range(2000)]
    summary = pages.summarize(Visit("p", "v"), 0, raw)
    record = pages.visit_record(summary, "id", "url")
    shown = record["additional_display"][0]["content"]["ProtocolName"]
    assert len(shown) == pages.MAX_VALUES + 1
    assert shown[-1] == "… and 1500 more"
    assert all(len(value) <= pages.MAX_LENGTH + 1 for value in shown)
    assert len(record["keywords"]) == pages.MAX_KEYWORDS


@pytest.mark.parametrize("text", ["\ud800", "</script>", "a\u2028b", "Größe", "\x00"])
def test_any_text_makes_a_file_of_plain_ascii_json(text: str) -> None:
    summary = pages.summarize(Visit("p", "v"), 0, [{"ProtocolName": text}])
    encoded = pages.encode(pages.node(pages.visit_record(summary, "id", "url")))
    assert encoded.isascii()
    assert json.loads(encoded)["keywords"] == [text]


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 Bytes"),
        (1023, "1023 Bytes"),
        (1024, "1 KB"),
        (1_234_567, "1.18 MB"),
        (2**30 - 1, "1 GB"),
        (5 * 2**40, "5 TB"),
        (2**60, "1024.00 PB"),
    ],
)
def test_sizes_are_shown_for_people(size: int, shown: str) -> None:
    assert pages.format_bytes(size) == shown


def test_a_page_lies_where_the_browser_looks_for_it() -> None:
    """The MD5 of id and version, cut after three letters."""
    path = pages.page_path("00c0313b-4193-5dc6-bebd-9f7043293f88")
    assert path.parts[:3] == ("metadata", "00c0313b-4193-5dc6-bebd-9f7043293f88", "latest")
    assert [len(part) for part in path.parts[3:]] == [3, 29 + len(".json")]


def test_a_study_has_one_id_for_its_store() -> None:
    assert pages.study_id(f"{URL}/", PROJECT) == pages.study_id(URL, PROJECT)
    assert pages.study_id(URL, "study_2") != pages.study_id(URL, PROJECT)
    assert pages.study_id(URL, PROJECT) != str(ids.dataset_id(URL, V))


def test_what_a_study_page_lists_is_read_back_from_it() -> None:
    summary = pages.summarize(V, 1000, [{"Modality": "MR"}])
    entry = pages.study_entry(summary, "id")
    written = json.loads(
        pages.encode(pages.node(pages.study_record(PROJECT, "s", [entry])))
    )
    assert pages.entries_of(written) == {"v1": entry}
    assert pages.entries_of(pages.node(pages.study_record(PROJECT, "s", []))) == {}


@pytest.mark.parametrize("what", ["another source", "an entry by hand"])
def test_a_page_that_is_not_ours_is_none(what: str) -> None:
    entry = pages.study_entry(pages.summarize(V, 1, []), "id")
    found = pages.node(pages.study_record(PROJECT, "s", [entry]))
    if what == "an entry by hand":
        del found["subdatasets"][0]["tar_bytes"]
    else:
        found["metadata_sources"]["sources"] = [{"source_name": "metalad"}]
    assert pages.entries_of(found) is None
