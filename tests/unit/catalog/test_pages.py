"""The pages as data: what is shown, how much of it, and in the layout of DataLad's."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from support.metadata import tarball_of

from icfqueue.catalog import pages, site, summary
from icfqueue.catalog.summary import VisitSummary
from icfqueue.core.visit import Visit
from icfqueue.outputs import deposit, ids
from icfqueue.tarball.dicom_tags import NAMES

PROJECT = "study_1"
URL = "https://data.example.org"
V = Visit(PROJECT, "v1")


def summarize(visit: Visit = V, **tags: Any) -> VisitSummary:
    """Return the summary of a visit of one file with these `tags`."""
    return summary.summarize(visit, tarball_of(visit), [{"size": 9, **tags}])


def test_pages_are_what_catalog_add_of_datalad_makes_of_the_same_records(
    tmp_path: Path,
) -> None:
    """Same layout, same place: other tools of DataLad can go on with the catalog."""
    visits = [Visit(PROJECT, name) for name in ("v1", "v2")]
    records, entries = [], []
    for visit in visits:
        entry = dict.fromkeys(NAMES, "") | {"Modality": "MR", "SeriesNumber": 3}
        told = summarize(visit, **entry)
        dataset_id = str(ids.dataset_id(URL, visit))
        records.append(pages.visit_record(told, dataset_id, URL))
        entries.append(pages.study_entry(told, dataset_id))
    whole = deposit.clone_url(URL, PROJECT)
    study = pages.study_id(URL, PROJECT)
    records.append(pages.study_record(PROJECT, study, entries, whole))
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


def test_number_of_shown_values_keywords_and_series_is_limited() -> None:
    files = [{"ProtocolName": f"{number:06d}", "size": 1} for number in range(2000)]
    told = summary.summarize(V, tarball_of(V), files)
    record = pages.visit_record(told, "id", URL)
    series, tags, _ = (one["content"] for one in record["additional_display"])
    shown = tags["ProtocolName"]
    assert len(shown) == pages.MAX_VALUES + 1
    assert shown[-1] == "… and 1500 more"
    assert len(series["rows"]) == pages.MAX_SERIES
    assert series["total"] == 2000
    assert len(record["keywords"]) == summary.MAX_KEYWORDS
    study = pages.study_record(PROJECT, "s", [pages.study_entry(told, "id")] * 2)
    assert len(study["keywords"]) == pages.MAX_KEYWORDS


def test_visit_page_has_its_series_tags_and_tarball() -> None:
    told = summarize(SeriesNumber=3, SeriesDescription="t1", Modality="MR")
    record = pages.visit_record(told, "id", f"{URL}/")
    shown = {one["name"]: one["content"] for one in record["additional_display"]}
    assert shown["Series"] == {
        "columns": [
            "SeriesNumber",
            "SeriesDescription",
            "ProtocolName",
            "Modality",
            "Images",
            "Bytes",
        ],
        "rows": [[3, "t1", "", "MR", 1, 9]],
        "total": 1,
    }
    assert shown["DICOM"]["SeriesNumber"] == [3]
    assert shown["DICOM"]["ProtocolName"] is None
    tarball = f"{URL}/{PROJECT}/v1_dicom.tar"
    assert shown["Tarball"] == {"url": tarball, "bytes": 1000, "md5": "1" * 32}


def test_study_page_has_a_clone_command_only_if_there_is_a_dataset_of_all() -> None:
    url = deposit.clone_url(f"{URL}/", PROJECT)
    assert url == (
        "datalad-annex::?type=external&externaltype=uncurl&encryption=none"
        f"&url={URL}/{PROJECT}/{{{{annex_key}}}}"
    )
    assert "url" not in pages.study_record(PROJECT, "s", [])
    assert pages.study_record(PROJECT, "s", [], url)["url"] == url


@pytest.mark.parametrize("text", ["\ud800", "</script>", "a\u2028b", "Größe", "\x00"])
def test_any_text_makes_a_file_of_plain_ascii_json(text: str) -> None:
    told = summarize(ProtocolName=text)
    encoded = pages.encode(pages.node(pages.visit_record(told, "id", URL)))
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
    entry = pages.study_entry(summarize(Modality="MR"), "id")
    written = json.loads(
        pages.encode(pages.node(pages.study_record(PROJECT, "s", [entry])))
    )
    assert pages.entries_of(written) == {"v1": entry}
    assert pages.entries_of(pages.node(pages.study_record(PROJECT, "s", []))) == {}


@pytest.mark.parametrize("what", ["another source", "an entry by hand"])
def test_a_page_that_is_not_ours_is_none(what: str) -> None:
    entry = pages.study_entry(summarize(), "id")
    found = pages.node(pages.study_record(PROJECT, "s", [entry]))
    if what == "an entry by hand":
        del found["subdatasets"][0]["tar_bytes"]
    else:
        found["metadata_sources"]["sources"] = [{"source_name": "metalad"}]
    assert pages.entries_of(found) is None


def test_a_page_of_the_layout_before_is_read_only_if_asked_for() -> None:
    entry = pages.study_entry(summarize(), "id")
    made = pages.encode(pages.node(pages.study_record(PROJECT, "s", [entry])))
    found = json.loads(made)
    found["metadata_sources"]["sources"][0] = {
        "source_name": "icfqueue",
        "source_version": "1",
    }
    assert pages.entries_of(found) is None
    assert pages.entries_of(found, earlier=True) == {"v1": entry}
