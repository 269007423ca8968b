"""An open folder: what is done in it goes by its descriptor and follows no link."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from icfqueue.core.errors import UnsafePath
from icfqueue.store.beneath.folder import Folder, Listed


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    made = tmp_path / "elsewhere"
    made.mkdir()
    (made / "kept").write_text("kept")
    return made


@pytest.fixture
def place(tmp_path: Path, elsewhere: Path) -> Path:
    """A folder with a file, a folder, a link to each, a broken one, and a pipe."""
    made = tmp_path / "place"
    made.mkdir()
    (made / "file").write_text("content")
    (made / "folder").mkdir()
    (made / "to folder").symlink_to(elsewhere)
    (made / "to file").symlink_to(elsewhere / "kept")
    (made / "broken").symlink_to(elsewhere / "gone")
    os.mkfifo(made / "pipe")
    return made


DEEDS: dict[str, Callable[[Folder], object]] = {
    "enter": lambda folder: folder.enter("to folder"),
    "stat": lambda folder: folder.stat("to file"),
    "stat what is broken": lambda folder: folder.stat("broken"),
    "read": lambda folder: folder.open_file("to file"),
    "write": lambda folder: folder.open_file("to file", os.O_WRONLY | os.O_TRUNC),
    "create": lambda folder: folder.open_file("broken", os.O_WRONLY | os.O_CREAT),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_a_link_is_refused_with_both_paths(place: Path, elsewhere: Path, deed: str) -> None:
    with Folder.at(place) as folder, pytest.raises(UnsafePath) as caught:
        DEEDS[deed](folder)
    assert str(place) in caught.value.message
    assert f"symbolic link to {elsewhere}" in caught.value.message
    assert "store_links" in caught.value.hint
    assert (elsewhere / "kept").read_text() == "kept"
    assert not (elsewhere / "gone").exists()


def test_a_link_that_may_be_followed_is_and_one_that_leads_nowhere_is_named(
    place: Path,
) -> None:
    with Folder.at(place) as folder:
        with folder.enter("to folder", follow=True) as other:
            assert [entry.name for entry in other.listing()] == ["kept"]
        found = folder.stat("to file", follow=True)
        assert found is not None
        assert found.st_size == 4
        file = folder.open_file("to file", follow=True)
        assert os.read(file, 10) == b"kept"
        os.close(file)
        with pytest.raises(UnsafePath, match=r"which is not there"):
            folder.stat("broken", follow=True)


def test_a_pipe_is_no_file_and_holds_nobody_up(place: Path) -> None:
    with Folder.at(place) as folder, pytest.raises(UnsafePath, match="neither a file"):
        folder.open_file("pipe")


def test_what_is_not_there_is_told_from_what_is_something_else(place: Path) -> None:
    with Folder.at(place) as folder:
        assert folder.stat("gone") is None
        with pytest.raises(FileNotFoundError) as gone:
            folder.open_file("gone")
        assert gone.value.filename == str(place / "gone")
        with pytest.raises(IsADirectoryError) as wrong:
            folder.open_file("folder")
        assert wrong.value.filename == str(place / "folder")
        with pytest.raises(NotADirectoryError):
            folder.enter("file")


def test_a_listing_tells_links_from_what_they_lead_to(place: Path) -> None:
    with Folder.at(place) as folder:
        assert sorted(folder.listing()) == [
            Listed("broken", "link"),
            Listed("file", "file"),
            Listed("folder", "folder"),
            Listed("pipe", "other"),
            Listed("to file", "link"),
            Listed("to folder", "link"),
        ]


def test_removing_takes_links_and_not_what_they_lead_to(
    place: Path, elsewhere: Path
) -> None:
    (place / "folder/inner").symlink_to(elsewhere)
    with Folder.at(place) as folder:
        for name in ("folder", "to folder", "to file", "broken", "gone"):
            folder.remove(name, strict=True)
        assert {entry.name for entry in folder.listing()} == {"file", "pipe"}
    assert (elsewhere / "kept").read_text() == "kept"


def test_what_cannot_be_removed_is_an_error_where_that_is_asked_for(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "folder/inner").touch()
    real = os.unlink

    def refuse(path: str, *, dir_fd: int | None = None) -> None:
        if path == "inner":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        real(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refuse)
    with Folder.at(place) as folder:
        folder.remove("folder")
        with pytest.raises(OSError, match="Read-only"):
            folder.remove("folder", strict=True)


def test_its_path_leads_to_the_folder_whatever_its_name_leads_to(
    place: Path, elsewhere: Path
) -> None:
    with Folder.at(place) as folder:
        place.rename(place.with_name("moved"))
        place.symlink_to(elsewhere)
        (folder.path / "new").write_text("x")
        folder.rename("file", folder, "renamed")
    assert (place.with_name("moved") / "new").read_text() == "x"
    assert (place.with_name("moved") / "renamed").is_file()
    assert not (elsewhere / "new").exists()


def test_only_an_empty_folder_is_removed_as_one(place: Path) -> None:
    (place / "full").mkdir()
    (place / "full/x").touch()
    with Folder.at(place) as folder:
        assert folder.remove_empty("folder")
        assert folder.remove_empty("gone")
        assert not folder.remove_empty("full")
        with pytest.raises(NotADirectoryError):
            folder.remove_empty("to folder")
