"""Both metadata files against an independent, slow construction with DataLad."""

from __future__ import annotations

import hashlib
import json
import lzma
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED_DATA
from support.datasets import TAGS

from icfqueue.core.options import Options
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.demo.visits import build_project
from icfqueue.steps import index_tar, write_json
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store

REAL = {
    f"{kind} (real)": path
    for kind in ("structural", "functional")
    if (path := SHARED_DATA / f"{kind}_dicom.tar.xz").exists()
}


def by_datalad(tarball: Path) -> list[dict[str, Any]]:
    """List the DICOM files with ``ls_file_collection`` and ``dcmread`` alone."""
    import datalad.api as dl
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    found = []
    for item in dl.ls_file_collection(
        "tarfile",
        tarball,
        hash=["md5"],
        result_renderer="disabled",
        return_type="generator",
    ):
        file = item.get("fp")
        if file is None:
            continue
        file.seek(0)
        try:
            dicom = dcmread(file, stop_before_pixels=True, specific_tags=list(TAGS))
        except InvalidDicomError:
            continue
        record = {
            "path": str(item["item"]),
            "md5": item["hash-md5"],
            "size": item["size"],
            **{tag: getattr(dicom, tag, "") for tag in TAGS},
        }
        found.append(record)
    # As the institute's tools write it; pydicom's types become JSON's.
    read: list[dict[str, Any]] = json.loads(json.dumps(found))
    return read


def unpack(packed: Path, folder: Path) -> Visit:
    visit = Visit("study_1", packed.name.removesuffix("_dicom.tar.xz"))
    folder.mkdir(parents=True)
    with lzma.open(packed) as source, (folder / visit.tarball).open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    return visit


@pytest.fixture(scope="module", params=["from pydicom's files", *REAL])
def job(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A visit whose metadata were written by our two steps."""
    store = Store(tmp_path_factory.mktemp("store"))
    if request.param in REAL:
        visit = unpack(REAL[request.param], store.root / "study_1")
    else:
        visit = build_project(store.root, "study_1", 2)[-1]
    made = Job(visit, Options("https://x"), store, Settings(store_dir=store.root))
    index_tar.run(made)
    write_json.run(made)
    return made


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # DataLad's own imports
def test_dicoms_file_equals_the_listing_of_datalad_and_pydicom(job: Job) -> None:
    """The same files, in the same order, key by key."""
    path = job.store.path(job.visit, job.visit.metadata_dicoms)
    ours = json.loads(path.read_text())
    expected = by_datalad(job.store.path(job.visit, job.visit.tarball))
    assert len(ours) == len(expected) > 0
    for one, other in zip(ours, expected, strict=True):
        assert list(one) == list(other)
        for key in other:
            assert one[key] == other[key], (one["path"], key)


def test_tarball_file_equals_what_stat_and_md5_tell(job: Job) -> None:
    tarball = job.store.path(job.visit, job.visit.tarball)
    with tarball.open("rb") as file:
        md5 = hashlib.file_digest(file, "md5").hexdigest()
    path = job.store.path(job.visit, job.visit.metadata_tarball)
    assert json.loads(path.read_text()) == {
        "size": tarball.stat().st_size,
        "md5": md5,
        "dspath": f"icf/{job.visit.id}_dicom.tar",
        "storepath": f"study_1/{job.visit.id}_dicom.tar",
    }
