"""The demonstration's project: made of real DICOM files, the same everywhere."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import pydicom

from icfqueue.demo.visits import build_project
from icfqueue.store.directory import Store


def test_every_visit_holds_real_dicom_files_and_its_md5_lies_beside_it(
    tmp_path: Path,
) -> None:
    visits = build_project(tmp_path, "study_1", 3)
    assert visits == Store(tmp_path).visits("study_1")
    for visit in visits:
        path = tmp_path / "study_1" / visit.tarball
        md5 = hashlib.md5(path.read_bytes()).hexdigest()
        assert (
            tmp_path / "study_1" / visit.md5sum
        ).read_text() == f"{md5}  {visit.tarball}\n"
        with tarfile.open(path, "r:") as tar:
            names = [name for name in tar.getnames() if name.endswith(".dcm")]
            assert names
            member = tar.extractfile(names[0])
            assert pydicom.dcmread(member, stop_before_pixels=True).Modality == "MR"


def test_the_same_bytes_come_out_each_time(tmp_path: Path) -> None:
    one = build_project(tmp_path / "a", "study_1", 2)
    build_project(tmp_path / "b", "study_1", 2)
    for visit in one:
        left, right = (tmp_path / x / "study_1" / visit.tarball for x in "ab")
        assert left.read_bytes() == right.read_bytes()
