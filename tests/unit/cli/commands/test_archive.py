"""``icfqueue archive``: what it says, and where the tarball lies."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from support.command_line import Called, Commands
from support.folders import image, make_folder

from icfqueue.cli.main import complain
from icfqueue.core.errors import ArchiveExists, BadFolder, BadId


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(
        tmp_path / "export",
        {"1.dcm": image(1), "2.dcm": image(2, date=b"", time=b""), "notes.txt": b"x"},
    )


def archive(icfqueue: Commands, *words: str | Path) -> Called:
    """Call the command; it needs no broker."""
    return icfqueue.plain("archive", "study_1", *map(str, words))


def test_it_says_what_was_made(icfqueue: Commands, folder: Path) -> None:
    where = ("-o", icfqueue.store.root)
    done = archive(icfqueue, "visit_1", folder, *where)
    assert done.code == 0
    first, second = done.out.splitlines()
    assert first.startswith("study_1/visit_1: written, 2 DICOMs and 1 other, 10.2 kB, MD5 ")
    assert second == "1 DICOM file says no date; it has the newest of all"
    again = archive(icfqueue, "study_1/visit_1_dicom.tar", folder, *where)
    assert again.out.splitlines()[0] == first.replace("written", "up to date")
    assert (icfqueue.store.root / "study_1/visit_1_dicom.tar").is_file()


def test_another_tarball_is_left_alone_and_the_command_that_replaces_it_named(
    icfqueue: Commands, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--store-dir", icfqueue.store.root)
    archive(icfqueue, "visit_1", folder, *where)
    (folder / "more.dcm").write_bytes(image(3))
    with pytest.raises(ArchiveExists) as caught:
        archive(icfqueue, "visit_1", folder, *where)
    assert complain(caught.value) == 1
    hint = capsys.readouterr().err.splitlines()[1]
    found = re.fullmatch("  `icfqueue archive study_1 (.*)` replaces it", hint)
    assert found
    done = archive(icfqueue, *shlex.split(found[1]))
    assert done.out.splitlines()[0].startswith("study_1/visit_1: replaced, 3 DICOMs")
    run = f"icfqueue run study_1 visit_1 --force --store-dir {icfqueue.store.root}"
    assert done.out.splitlines()[-1] == f"outputs of the other one are made anew by: {run}"


def test_two_studies_are_one_visit_only_if_that_is_said(
    icfqueue: Commands, folder: Path
) -> None:
    where = ("-o", icfqueue.store.root)
    (folder / "more.dcm").write_bytes(image(3, uid=b"3.2.1\0"))
    with pytest.raises(BadFolder, match="of 2 studies"):
        archive(icfqueue, "visit_1", folder, *where)
    assert archive(icfqueue, "visit_1", folder, *where, "--several-studies").code == 0


def test_an_id_that_may_not_become_a_path_is_refused(
    icfqueue: Commands, folder: Path
) -> None:
    with pytest.raises(BadId):
        archive(icfqueue, "..", folder, "-o", icfqueue.store.root)
