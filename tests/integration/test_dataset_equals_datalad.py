"""The dataset equals one that DataLad makes, key by key, URL by URL, tag by tag.

The reference is built through DataLad's public API (`create`, `addurls`). Where that
takes a process per file, git-annex's batch modes do the same: for the presence of each
key, and for the tags of the real visits. Of the functional visit (5,460 files) one file
in twenty is compared.
"""

from __future__ import annotations

import io
import json
import lzma
import shutil
import tarfile
import warnings
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED_DATA
from support import datasets

from benchmarks import longheaders
from icfqueue.demo.visits import members_of_visit, shipped
from icfqueue.outputs import deposit, ids, metadata_files
from icfqueue.steps import export_repo, index_tar, write_json
from icfqueue.steps.job import Job

REAL = {"structural": 1, "functional": 20}
"""The real visits, and of how many files one is compared."""

GENERATED = "generated"


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Job:
    return make_job("visit_1", store_url="https://data.example.org/base")


def reference(
    folder: Path, job: Job, records: list[dict[str, Any]], *, batch: bool = False
) -> Path:
    """Build the visit's dataset with DataLad, from its metadata."""
    with warnings.catch_warnings():
        # datalad-catalog's modules, which come along, import what jsonschema deprecates.
        warnings.simplefilter("ignore", DeprecationWarning)
        import datalad.api as dl

    quiet = {"result_renderer": "disabled"}
    made = dl.create(path=folder, **quiet)
    run = made.repo.call_annex
    for name in ("uncurl", "archivist"):
        kind = ["type=external", f"externaltype={name}", "encryption=none"]
        run(["initremote", name, *kind, "autoenable=true"])
    tarball = metadata_files.read_tarball(job.store, job.visit)
    assert tarball is not None
    url = f"{job.options.store_url}/{tarball.storepath}"
    how: dict[str, Any] = {"key": "et:MD5-s{size}--{md5}", "exclude_autometa": "*", **quiet}
    results = made.addurls([{"url": url, **asdict(tarball)}], "{url}", "{dspath}", **how)
    [tarkey] = [found["annexkey"] for found in results if found["action"] == "fromkey"]
    results = made.addurls(
        records,
        f"dl+archive:{tarkey}#path={{path}}&size={{size}}",
        "{path}",
        meta=[] if batch else [f"{tag.lower()}={{{tag}}}" for tag in datasets.EMPTY_TAGS],
        **how,
    )
    keys = [found["annexkey"] for found in results if found["action"] == "fromkey"]
    assert len(keys) == len(records)
    uuids = {name: git_config(made.pathobj, name) for name in ("uncurl", "archivist")}
    present = [f"{tarkey} {uuids['uncurl']} 1\n"]
    present += [f"{key} {uuids['archivist']} 1\n" for key in keys]
    run_batch = partial(datasets.git, made.pathobj, "annex")
    run_batch("setpresentkey", "--batch", stdin="".join(present).encode())
    if batch:
        tags = "".join(f"{json.dumps(tags_of(record))}\n" for record in records)
        run_batch("metadata", "--batch", "--json", stdin=tags.encode())
    datasets.git(made.pathobj, "annex", "merge")
    return Path(made.path)


def tags_of(record: dict[str, Any]) -> dict[str, Any]:
    found = {
        tag.lower(): [str(record[tag])] for tag in datasets.EMPTY_TAGS if record[tag] != ""
    }
    return {"file": record["path"], "fields": found}


def git_config(repo: Path, remote: str) -> str:
    found = datasets.git(repo, "config", f"remote.{remote}.annex-uuid")
    return found.decode().strip()


def compare(job: Job, ours: Path, other: Path, *, whole: bool) -> None:
    """Compare both branches of two datasets; `other` may hold a part of the files."""
    config = b".datalad/config"
    trees = [datasets.tree(repo, "master") for repo in (ours, other)]
    logs = [datasets.annex(repo) for repo in (ours, other)]
    # Where in the tarball an image begins: DataLad knows nothing of it.
    states = {path for path in logs[0] if path.endswith(b".log.rmt")}
    assert states
    for path in states:
        del logs[0][path]
    dataset_ids = [tree.pop(config).content.split()[-1].decode() for tree in trees]
    assert dataset_ids[0] == str(ids.dataset_id(job.options.store_url, job.visit))
    if not whole:
        for full, part in (trees, logs):
            assert len(full) > len(part)
            for path in full.keys() - part.keys():
                del full[path]
    assert trees[0] == trees[1]
    assert logs[0] == logs[1]


def test_pydicoms_files_give_the_dataset_that_datalad_makes(
    job: Job, tmp_path: Path
) -> None:
    """Real DICOM files of many kinds, two of them with equal content."""
    files = [
        path
        for path in shipped()
        if path.suffix in {".dcm", ""} and path.stat().st_size < 100_000
    ][::4]
    members = list(members_of_visit(job.visit, files))
    again = next(content for name, content in members if name.endswith("MR_small.dcm.dcm"))
    members += [("z z/the same.dcm", again), ('z z/"other" {x} %41 ü\\.IMA', again)]
    datasets.put_visit(job, dict(members).items())
    records = metadata_files.read_dicoms(job.store, job.visit)
    # addurls cannot carry a list; test_branches shows what becomes of one.
    assert not any(isinstance(value, list) for r in records for value in r.values())
    other = reference(tmp_path / "reference", job, records)
    ours = datasets.unpacked(job, tmp_path / "ours")
    compare(job, ours, other, whole=True)
    datasets.git(tmp_path, "clone", "-q", str(ours), "clone")
    datasets.git(tmp_path / "clone", "annex", "init", "-q", "here")
    for look in (("find", "--anything"), ("whereis",), ("metadata",)):
        seen = [
            [plain(entry) for entry in datasets.annex_json(repo, *look)]
            for repo in (tmp_path / "clone", other)
        ]
        assert seen[0] == seen[1], look


def plain(entry: Any) -> Any:
    """Return a record of git-annex without UUIDs and times."""
    if isinstance(entry, dict):
        return {
            key: plain(value)
            for key, value in entry.items()
            if key not in {"uuid", "note"} and not key.endswith("lastchanged")
        }
    return [plain(value) for value in entry] if isinstance(entry, list) else entry


def visits() -> list[str]:
    """Return the real visits that are at hand, and one made like the functional one."""
    real = [name for name in REAL if (SHARED_DATA / f"{name}_dicom.tar.xz").exists()]
    return [*real, GENERATED]


def put_tarball(name: str, tarball: Path) -> None:
    if name == GENERATED:
        with tarfile.open(tarball, "w", format=tarfile.PAX_FORMAT) as tar:
            for path, content in longheaders.series(40):
                info = tarfile.TarInfo(path)
                info.size, info.mtime = len(content), 1_374_063_300.25
                tar.addfile(info, io.BytesIO(content))
        return
    with (
        lzma.open(SHARED_DATA / f"{name}_dicom.tar.xz") as packed,
        tarball.open("wb") as tar,
    ):
        shutil.copyfileobj(packed, tar, 1 << 20)


@pytest.mark.parametrize("name", visits())
def test_a_visit_as_scanners_make_it_gives_the_dataset_that_datalad_makes(
    name: str, make_job: Callable[..., Job], tmp_path: Path
) -> None:
    job = make_job(name)
    tarball = job.store.path(job.visit, job.visit.tarball)
    put_tarball(name, tarball)
    for step in (index_tar, write_json, export_repo):
        step.run(job)
    records = metadata_files.read_dicoms(job.store, job.visit)
    found = deposit.read(job.store, job.visit)
    assert found is not None
    assert found.source is not None
    assert found.source.dicoms == len(records)
    tarball.unlink()
    other = reference(
        tmp_path / "reference", job, records[:: REAL.get(name, 1)], batch=True
    )
    ours = datasets.unpacked(job, tmp_path / "ours")
    compare(job, ours, other, whole=REAL.get(name, 1) == 1)
    links = [
        entry for entry in datasets.tree(ours, "master").values() if entry[0] == b"120000"
    ]
    assert len(links) == len(records) + 1
