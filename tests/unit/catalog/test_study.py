"""The catalog: what is written, when, and that it is whole at every moment."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from icfqueue.catalog import pages, site, site_patches, study
from icfqueue.core import faultpoint
from icfqueue.core.errors import LeaseLost, PermanentError, StepError, UsageError
from icfqueue.core.guard import Guard
from icfqueue.core.options import Outcome
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.outputs import deposit, ids
from icfqueue.steps.job import Job
from icfqueue.store import swap_folder
from icfqueue.store.directory import Store
from icfqueue.tarball.dicom_tags import NAMES

PROJECT = "study_1"
URL = "https://data.example.org"

MakeJob = Callable[..., Job]
AddJob = Callable[..., Job]


def write_metadata(
    store: Store, visit: Visit, *, dicoms: int = 2, size: int = 5 << 20, **tags: Any
) -> None:
    """Write both metadata files, as `write_json` does."""
    given = dict.fromkeys(NAMES, "") | {"Modality": "MR", "ProtocolName": "t1"} | tags
    entries = [
        {"path": f"a/{number}", "md5": "0" * 32, "size": 9, **given}
        for number in range(dicoms)
    ]
    tarball = {"size": size, "md5": "1" * 32}
    tarball |= {"dspath": visit.dspath, "storepath": visit.storepath}
    store.path(visit, visit.metadata_tarball).write_text(json.dumps(tarball))
    store.path(visit, visit.metadata_dicoms).write_text(json.dumps(entries))


@pytest.fixture
def add_job(make_job: MakeJob) -> AddJob:
    """Return a maker of jobs whose visit has metadata."""

    def add(visit: str, **metadata: Any) -> Job:
        job = make_job(visit, project=PROJECT, store_url=URL)
        write_metadata(job.store, job.visit, **metadata)
        return job

    return add


def add(jobs: Iterable[Job], guard: Guard | None = None) -> study.Results:
    jobs = list(jobs)
    first = jobs[0]
    return study.add_visits(first.store, PROJECT, jobs, first.settings, guard or Guard())


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below `folder` with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def inodes(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_ino for path in folder.rglob("*")}


def page_of(job: Job) -> dict[str, Any]:
    dataset_id = str(ids.dataset_id(URL, job.visit))
    found = job.store.catalog_dir(PROJECT) / pages.page_path(dataset_id)
    content: dict[str, Any] = json.loads(found.read_bytes())
    return content


def study_page(store: Store) -> dict[str, Any]:
    found = store.catalog_dir(PROJECT) / pages.page_path(pages.study_id(URL, PROJECT))
    content: dict[str, Any] = json.loads(found.read_bytes())
    return content


def worked(results: study.Results) -> list[bool]:
    assert all(isinstance(result, Outcome) for result in results.values()), results
    return [result.worked for result in results.values() if isinstance(result, Outcome)]


def test_first_visit_makes_catalog_with_names_logo_and_colours(
    add_job: AddJob, store: Store
) -> None:
    job = add_job("v1")
    assert study.run(job).worked
    folder = store.catalog_dir(PROJECT)
    config = json.loads((folder / "config.json").read_text())
    assert config["catalog_name"] == job.settings.catalog_name
    assert config["link_color"] == job.settings.catalog_link_color
    assert config["link_hover_color"] == job.settings.catalog_link_hover_color
    assert not any(config["social_links"].values())
    assert (folder / config["logo_path"]).read_bytes() == site.OUR_LOGO.read_bytes()
    home = json.loads((folder / site.SUPER).read_text())
    assert home["dataset_id"] == pages.study_id(URL, PROJECT)
    assert sorted(path.name for path in store.project_dir(PROJECT).iterdir()) == [
        "catalog",
        "v1_metadata_dicoms.json",
        "v1_metadata_tarball.json",
    ]


def test_visit_page_has_size_number_tags_keywords_and_clone_url(add_job: AddJob) -> None:
    job = add_job("v1", dicoms=3, size=3 << 20, ProtocolName=["b", "a"], SeriesNumber=12)
    study.run(job)
    found = page_of(job)
    assert found["name"] == "v1"
    assert found["dataset_id"] == str(ids.dataset_id(URL, job.visit))
    assert found["url"] == deposit.clone_url(URL, job.visit)
    assert found["keywords"] == ["a", "b", "MR"]
    assert found["top_display"] == [
        {"name": "TAR file size", "value": "3 MB"},
        {"name": "Nr of DICOMs", "value": 3},
    ]
    (tab,) = found["additional_display"]
    assert tab["name"] == "DICOM"
    assert tab["content"]["ProtocolName"] == ["a", "b"]
    assert tab["content"]["SeriesNumber"] == [12]
    assert tab["content"]["PulseSequenceName"] is None


def test_study_page_lists_all_visits_sorted_with_sums(
    add_job: AddJob, store: Store
) -> None:
    jobs = [add_job(name, dicoms=2, size=1 << 20) for name in ("v2", "v10", "v1")]
    add(jobs)
    found = study_page(store)
    assert [one["dataset_path"] for one in found["subdatasets"]] == ["v1", "v10", "v2"]
    assert [one["name"] for one in found["children"]] == ["v1", "v10", "v2"]
    assert [item["value"] for item in found["top_display"]] == ["3 MB", 6]
    assert study.listed(store, PROJECT, URL) == {job.visit for job in jobs}
    assert all(study.has_page(store, job.visit, URL) for job in jobs)


def test_again_changes_nothing_and_rewrites_no_file(add_job: AddJob, store: Store) -> None:
    jobs = [add_job(f"v{number}") for number in range(3)]
    assert worked(add(jobs)) == [True] * 3
    before = inodes(store.catalog_dir(PROJECT))
    assert worked(add(jobs)) == [False] * 3
    assert inodes(store.catalog_dir(PROJECT)) == before


def test_batches_in_any_order_give_the_files_of_one_go(
    add_job: AddJob, store: Store, settings: Settings
) -> None:
    jobs = [add_job(f"v{number}", SeriesNumber=number) for number in range(7)]
    for batch in (jobs[5:], jobs[2:4], jobs[:2], jobs[4:5], jobs[1:3]):
        add(batch)
    batched = tree(store.catalog_dir(PROJECT))
    study.rebuild(store, PROJECT, URL, settings)
    assert tree(store.catalog_dir(PROJECT)) == batched


def test_replaced_visit_replaces_its_page_and_its_part_of_the_sums(
    add_job: AddJob, store: Store
) -> None:
    first, other = add_job("v1", dicoms=2, ProtocolName="old"), add_job("v2", dicoms=1)
    add([first, other])
    again = add_job("v1", dicoms=5, ProtocolName="new")
    assert add([again, other])[again.visit] == Outcome(worked=True)
    assert page_of(again)["keywords"] == ["new", "MR"]
    found = study_page(store)
    assert found["top_display"][1]["value"] == 6
    assert "old" not in json.dumps(found)


def test_bad_metadata_of_one_visit_does_not_stop_the_others(
    add_job: AddJob, make_job: MakeJob, store: Store
) -> None:
    good, bad = add_job("good"), add_job("bad")
    missing = make_job("missing", project=PROJECT, store_url=URL)
    store.path(bad.visit, bad.visit.metadata_dicoms).write_text('[{"pa')
    results = add([bad, good, missing])
    assert results[good.visit] == Outcome(worked=True)
    for job in (bad, missing):
        error = results[job.visit]
        assert isinstance(error, PermanentError)
        assert (error.project, error.visit) == (PROJECT, job.visit.id)
        assert error.step == "update_catalog"
        with pytest.raises(StepError):
            study.run(job)
    assert study.listed(store, PROJECT, URL) == {good.visit}


def test_no_catalog_is_made_when_every_visit_fails(make_job: MakeJob, store: Store) -> None:
    results = add([make_job("v1", project=PROJECT, store_url=URL)])
    assert len(results) == 1
    assert not store.catalog_dir(PROJECT).exists()


def test_rebuild_drops_visits_that_are_gone(
    add_job: AddJob, store: Store, settings: Settings
) -> None:
    jobs = [add_job(name) for name in ("v1", "v2")]
    add(jobs)
    gone = jobs[0].visit
    store.path(gone, gone.metadata_dicoms).unlink()
    results = study.rebuild(store, PROJECT, URL, settings)
    assert list(results) == [jobs[1].visit]
    assert not study.has_page(store, gone, URL)
    assert study.listed(store, PROJECT, URL) == {jobs[1].visit}


def test_rebuild_keeps_the_page_of_a_deposit_without_metadata_files(
    add_job: AddJob, store: Store, settings: Settings
) -> None:
    job = add_job("v1")
    study.run(job)
    before = tree(store.catalog_dir(PROJECT))
    for name in (job.visit.metadata_dicoms, job.visit.metadata_tarball):
        store.path(job.visit, name).unlink()
    store.path(job.visit, job.visit.refs).touch()
    assert study.rebuild(store, PROJECT, URL, settings) == {}
    assert tree(store.catalog_dir(PROJECT)) == before


def test_rebuild_without_project_folder_is_wrong_usage(
    store: Store, settings: Settings
) -> None:
    with pytest.raises(UsageError, match="not there"):
        study.rebuild(store, "nothing", URL, settings)
    assert not store.project_dir("nothing").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "index.html").unlink(),
        lambda folder: (folder / site.SUPER).write_text("{"),
        lambda folder: (folder / site.SUPER).write_text('{"dataset_id": "other"}'),
        lambda folder: (folder / pages.page_path(pages.study_id(URL, PROJECT))).write_text(
            '{"subda'
        ),
        lambda folder: (folder / pages.page_path(pages.study_id(URL, PROJECT))).write_text(
            "[]"
        ),
    ],
    ids=["site", "cut home", "other tool's", "cut study page", "odd study page"],
)
def test_damaged_catalog_is_made_anew_with_all_visits(
    add_job: AddJob, store: Store, damage: Callable[[Path], object]
) -> None:
    jobs = [add_job(name) for name in ("v1", "v2")]
    add(jobs)
    whole = tree(store.catalog_dir(PROJECT))
    damage(store.catalog_dir(PROJECT))
    assert list(add(jobs[:1])) == [jobs[0].visit]
    assert tree(store.catalog_dir(PROJECT)) == whole


def test_folder_that_is_no_catalog_is_left_alone(add_job: AddJob, store: Store) -> None:
    job = add_job("v1")
    folder = store.catalog_dir(PROJECT)
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(PermanentError, match="no DataLad catalog"):
        study.run(job)
    assert tree(folder) == {"mine.txt": b"mine"}


class Losing(Guard):
    """The lock is lost at the nth publication."""

    def __init__(self, left: int) -> None:
        self.left = left

    def before_publish(self, name: str) -> None:  # noqa: ARG002 - the interface
        if not self.left:
            raise LeaseLost("gone")
        self.left -= 1


def test_lost_lock_publishes_nothing_more_and_leaves_no_litter(
    add_job: AddJob, store: Store
) -> None:
    jobs = [add_job(name) for name in ("v1", "v2", "v3")]
    with pytest.raises(LeaseLost):
        add(jobs[:1], Losing(0))
    assert not store.catalog_dir(PROJECT).exists()
    add(jobs[:1])
    with pytest.raises(LeaseLost):
        add(jobs[1:], Losing(1))
    assert study.has_page(store, jobs[1].visit, URL)
    assert study.listed(store, PROJECT, URL) == {jobs[0].visit}
    assert not (store.project_dir(PROJECT) / ".icfqueue").exists()
    assert worked(add(jobs[1:])) == [True, True]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("what", ["catalog", ".json"])
def test_death_while_publishing_leaves_what_the_next_try_completes(
    add_job: AddJob, store: Store, moment: str, what: str
) -> None:
    """Killed around the first catalog's appearance, or around that of a page."""
    jobs = [add_job(name) for name in ("v1", "v2", "v3")]
    if what == ".json":
        add(jobs[:1])
    script = (
        "import sys; from pathlib import Path\n"
        "from icfqueue.catalog import study\n"
        "from icfqueue.steps.job import Job, Options\n"
        "from icfqueue.core.settings import Settings\n"
        "from icfqueue.store.directory import Store\n"
        "from icfqueue.core.visit import Visit\n"
        "root, project, url, *ids = sys.argv[1:]\n"
        "store, settings = Store(Path(root)), Settings(store_dir=Path(root))\n"
        "jobs = [Job(Visit(project, id), Options(store_url=url), store, settings)\n"
        "        for id in ids]\n"
        "study.add_visits(store, project, jobs, settings)\n"
    )
    ids = [job.visit.id for job in jobs]
    done = subprocess.run(
        [sys.executable, "-c", script, str(store.root), PROJECT, URL, *ids],
        env={**os.environ, faultpoint.VARIABLE: f"{moment} {what}"},
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    for visit in study.listed(store, PROJECT, URL):
        assert study.has_page(store, visit, URL)
    add(jobs)
    after = tree(store.catalog_dir(PROJECT))
    assert not (store.project_dir(PROJECT) / ".icfqueue").exists()
    study.rebuild(store, PROJECT, URL, jobs[0].settings)
    assert tree(store.catalog_dir(PROJECT)) == after


def test_reader_never_sees_half_a_file_nor_a_listed_visit_without_page(
    add_job: AddJob, store: Store, settings: Settings
) -> None:
    jobs = [add_job(f"v{number:02d}") for number in range(30)]
    add(jobs[:1])
    faults: list[str] = []
    rounds = 0
    end = threading.Event()

    def read() -> None:
        nonlocal rounds
        while not end.is_set():
            try:
                found = study.listed(store, PROJECT, URL)
                assert found
                assert all(study.has_page(store, visit, URL) for visit in found)
                study_page(store)
                json.loads((store.catalog_dir(PROJECT) / "config.json").read_text())
            except Exception as error:  # noqa: BLE001 - every one is a finding
                faults.append(repr(error))
            rounds += 1

    reader = threading.Thread(target=read)
    reader.start()
    for position in range(1, len(jobs), 3):
        add(jobs[position : position + 3])
    for _ in range(3):
        study.rebuild(store, PROJECT, URL, settings)
    end.set()
    reader.join()
    assert faults == []
    assert rounds > 10


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


def test_record_outside_the_schema_is_refused_without_its_value() -> None:
    record = pages.study_record(PROJECT, "id", [])
    with pytest.raises(PermanentError, match="keywords") as caught:
        site.check_record({**record, "keywords": ["Secret", 5]})
    assert "Secret" not in str(caught.value)


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


def test_no_file_that_a_page_loads_names_another_host(
    add_job: AddJob, store: Store
) -> None:
    study.run(add_job("v1"))
    folder = store.catalog_dir(PROJECT)
    texts = [folder / "index.html", *(folder / "templates").iterdir()]
    texts += (folder / "assets").glob("app*.js")
    loads = re.compile(r"""(?:src|href)=["']?https?:""")
    words = re.compile(r"unpkg|mybinder|youtube|fosstodon|jsdelivr|@datalad")
    for path in texts:
        assert not loads.search(path.read_text()), path
        assert not words.search(path.read_text()), path
    index = (folder / "index.html").read_text()
    assert "//" not in index.replace("<!--", "").replace("-->", "")
    assert site_patches.CONTENT_SECURITY in index


def test_unknown_page_of_another_datalad_catalog_is_refused() -> None:
    patch = site_patches.Patch("index.html", "<script src=x>", "", end="</script>")
    for text in ("nothing", "<script src=x>", "<script src=x></script>" * 2):
        with pytest.raises(PermanentError, match="not the known one"):
            patch.apply(text)
    assert patch.apply("a<script src=x>b</script>c") == "ac"


def test_names_in_the_page_are_no_html_and_no_template(
    store: Store, make_job: MakeJob
) -> None:
    job = make_job("v1", project=PROJECT, store_url=URL)
    write_metadata(store, job.visit)
    name = "<b>{{1+1}}</b>"
    settings = Settings(store_dir=store.root, catalog_name=name)
    study.add_visits(store, PROJECT, [job], settings)
    index = (store.catalog_dir(PROJECT) / "index.html").read_text()
    assert name not in index
    assert "<span v-pre" in index


@pytest.mark.parametrize("name", ["logo.txt", "missing.svg"])
def test_logo_that_cannot_be_used_is_a_clear_error(
    store: Store, add_job: AddJob, tmp_path: Path, name: str
) -> None:
    (tmp_path / "logo.txt").touch()
    settings = Settings(store_dir=store.root, catalog_logo=tmp_path / name)
    with pytest.raises(PermanentError, match="logo") as caught:
        study.add_visits(store, PROJECT, [add_job("v1")], settings)
    assert "catalog_logo" in caught.value.hint


def test_own_logo_is_taken(store: Store, add_job: AddJob, tmp_path: Path) -> None:
    logo = tmp_path / "Institute.PNG"
    logo.write_bytes(b"\x89PNG")
    settings = Settings(store_dir=store.root, catalog_logo=logo)
    study.add_visits(store, PROJECT, [add_job("v1")], settings)
    folder = store.catalog_dir(PROJECT)
    config = json.loads((folder / "config.json").read_text())
    assert (folder / config["logo_path"]).read_bytes() == b"\x89PNG"


def test_folders_change_places_where_the_system_cannot_exchange_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way of file systems without RENAME_EXCHANGE, which this one is not."""
    monkeypatch.setattr(swap_folder, "_exchange", lambda *_: False)
    new, target, aside = (tmp_path / name for name in ("new", "target", "aside"))
    for folder in (new, target):
        folder.mkdir()
        (folder / "name").write_text(folder.name)
    swap_folder.put_folder(new, target, aside)
    assert tree(tmp_path) == {"target/name": b"new"}
    # Dying between the two renames leaves the old folder aside.
    target.rename(aside)
    swap_folder.recover(target, aside)
    assert tree(tmp_path) == {"target/name": b"new"}
    # Dying after them leaves it as litter.
    aside.mkdir()
    swap_folder.recover(target, aside)
    assert not aside.exists()


def test_files_have_the_mode_that_the_umask_allows(add_job: AddJob, store: Store) -> None:
    study.run(add_job("v1"))
    mask = os.umask(0)
    os.umask(mask)
    for path in store.catalog_dir(PROJECT).rglob("*"):
        wanted = 0o777 if path.is_dir() else 0o666
        assert path.stat().st_mode & 0o777 == wanted & ~mask, path
