"""All that keeps folders from becoming a tarball is told before anything is written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from support.dicom import dicom, element
from support.folders import DAY, NOON, image, make_folder

from icfqueue.archive.folders import sources
from icfqueue.archive.refusals import Refusals
from icfqueue.archive.survey import Survey, survey
from icfqueue.core.errors import BadFolder
from icfqueue.core.visit import Visit
from icfqueue.demo.visits import shipped

VISIT = Visit("study_1", "visit_1")


def times(folder: Path, found: Survey) -> dict[str, int]:
    files = sources([folder], Refusals(""))
    return {source.name: found.time(number) for number, source in enumerate(files)}


def refused(folder: Path) -> BadFolder:
    with pytest.raises(BadFolder) as caught:
        survey(VISIT, [folder])
    return caught.value


def test_files_are_dated_by_their_study_and_others_by_the_newest(tmp_path: Path) -> None:
    """So are DICOM files that say no date."""
    directory = next(file for file in shipped("dicomdirtests") if file.name == "DICOMDIR")
    folder = make_folder(
        tmp_path,
        {
            "0.txt": b"a text",
            "1.dcm": image(1),
            "2.dcm": image(2, time=b"110000"),
            "3.dcm": image(3, date=b"", time=b""),
            "DICOMDIR": directory.read_bytes(),
        },
    )
    found = survey(VISIT, [folder])
    assert times(folder, found) == {
        "0.txt": NOON,
        "1.dcm": NOON,
        "2.dcm": NOON - 3600,
        "3.dcm": NOON,
        "DICOMDIR": NOON,
    }
    assert (found.files, found.dicoms, found.undated) == (5, 4, 2)
    assert found.newest == NOON


def test_images_that_say_no_date_at_all_are_of_1970(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, {"1.dcm": image(date=b"", time=b"")})
    assert survey(VISIT, [folder]).newest == 0


def test_a_study_that_stands_far_down_in_a_file_is_found(tmp_path: Path) -> None:
    """Behind a long private element, and in a file without the prefix."""
    late = dicom(
        element(0x00080020, b"DA", b"20140425"),
        element(0x00091010, b"UN", bytes(300 << 10)),
        element(0x0020000D, b"UI", b"1.2.3\0"),
    )
    bare = image()[132 + 12 + 28 :]
    assert bare.startswith(b"\x08\0")
    folder = make_folder(tmp_path, {"late": late + bytes(9000), "bare": bare})
    found = survey(VISIT, [folder])
    assert found.dicoms == 2
    assert times(folder, found) == {"late": DAY, "bare": NOON}
    make_folder(tmp_path, {"other": image(uid=b"1.2.4\0")})
    assert "2 of one ('bare', …), 1 of one ('other', …)" in refused(folder).message


def test_two_visits_in_one_folder_are_counted_and_no_value_is_told(tmp_path: Path) -> None:
    folder = make_folder(
        tmp_path,
        {
            **{f"a/{n}": image(n) for n in range(3)},
            **{f"b/{n}": image(n, uid=b"9.8.7\0") for n in range(5)},
            "c/DICOMDIR": dicom(element(0x00080005, b"CS", b"ISO_IR 100")),
        },
    )
    error = refused(folder)
    assert "are of 2 studies" in error.message
    assert "5 of one ('b/0', …), 3 of one ('a/0', …)" in error.message
    assert "9.8.7" not in error.message + error.hint
    assert "1.2.3" not in error.message + error.hint
    assert survey(VISIT, [folder], several_studies=True).dicoms == 9


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "it is empty"),
        ({"a": b"", "b.dcm": b"no image"}, "none of 2 files is DICOM"),
    ],
)
def test_nothing_dicom(tmp_path: Path, files: dict[str, bytes], words: str) -> None:
    error = refused(make_folder(tmp_path, files))
    assert words in error.message
    assert str(tmp_path) in error.message


def test_names_that_no_dataset_can_have_are_counted_and_one_is_named(
    tmp_path: Path,
) -> None:
    """Of DICOM files; others may be called as they like, if it leads nowhere else."""
    folder = make_folder(
        tmp_path,
        {
            "T1 & T2.dcm": image(),
            "MR#1/a.dcm": image(),
            "MR#1/b.dcm": image(),
            "line\nend": image(),
            ".git/x": b"",
            "text & more.txt": b"",
            "plain": image(),
        },
    )
    error = refused(folder)
    assert "3 × has '&' or '#' in its path, which DataLad's archive" in error.message  # noqa: RUF001 - as it is printed
    assert "MR#1/a.dcm" in error.message
    assert "1 × has a control character" in error.message  # noqa: RUF001 - as it is printed
    assert "1 × has a path that Git keeps for itself" in error.message  # noqa: RUF001 - as it is printed
    assert "text" not in error.message
    assert error.hint == "rename them"


def test_names_below_a_long_path_are_not_taken_for_harmless(tmp_path: Path) -> None:
    """The whole path counts, though the folder was good before and the name is plain."""
    here = os.getcwd()  # noqa: PTH109 - for chdir back, whatever it is
    os.chdir(tmp_path)
    try:
        for _ in range(19):
            os.mkdir("x" * 200)  # noqa: PTH102 - deeper than a path may be long
            os.chdir("x" * 200)
        for name, content in (("a", image()), ("b" * 200, image())):
            Path(name).write_bytes(content)
        os.chdir(tmp_path)
        with pytest.raises(BadFolder, match="of more than 4000 bytes"):
            survey(VISIT, [Path()])
    finally:
        os.chdir(here)
        shutil.rmtree(tmp_path / ("x" * 200))


@pytest.mark.parametrize("kind", ["open", "read"])
def test_a_file_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    folder = make_folder(tmp_path, {"1": image(), "2": image()})
    name = {"open": "open", "read": "pread"}[kind]
    real = getattr(os, name)

    def failing(what: bytes | int, *more: int) -> object:
        path = (
            what
            if isinstance(what, bytes)
            else os.fsencode(Path(f"/proc/self/fd/{what}").readlink())
        )
        if path.endswith(b"/2"):
            raise PermissionError(13, "Permission denied")
        return real(what, *more)

    monkeypatch.setattr(os, name, failing)
    assert "1 × not to be read" in refused(folder).message  # noqa: RUF001 - as it is printed


def test_a_pipe_that_takes_a_files_place_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path, {"1": image()})
    real = os.open

    def swapped(path: bytes, flags: int) -> int:
        (folder / "1").unlink()
        os.mkfifo(folder / "1")
        return real(path, flags)

    monkeypatch.setattr(os, "open", swapped)
    assert "pipe, socket or device" in refused(folder).message


def test_of_a_file_that_changed_it_is_known_that_it_is_another(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, {"1": image(1), "2": image(2)})
    found = survey(VISIT, [folder])
    one, two = sources([folder], Refusals(""))
    stat = os.stat(one.path)
    assert found.is_still(0, one, stat)
    assert not found.is_still(1, one, stat)
    assert not found.is_still(0, two, os.stat(two.path))
    assert not found.is_still(2, one, stat)
    (folder / "1").write_bytes(image(3))
    assert not found.is_still(0, one, os.stat(one.path))
