"""A part of a tarball: kept for the next try, taken over, never written by two.

With a real store that breaks off: ``tests/integration/fetch``.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from icfqueue.core.errors import (
    Cancelled,
    DiskTrouble,
    Interrupted,
    LeaseLost,
    NetworkTrouble,
    PermanentError,
)
from icfqueue.remote import partial_download
from icfqueue.remote.download import RemoteFile
from icfqueue.remote.partial_download import Note, Part, sweep, take_over

FILE = RemoteFile(1000, '"tag"', "yesterday")
NOTE = Note(FILE)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The visit's work folder in the project's hidden one."""
    folder = tmp_path / ".icfqueue" / "v"
    folder.mkdir(parents=True)
    return folder


def unchecked() -> None:
    """Let everything go on."""


def left(work: Path) -> list[str]:
    return sorted(path.name for path in work.iterdir()) if work.is_dir() else []


def put(
    work: Path, content: bytes, *, closed: bool = True, have: int | None = None
) -> Path:
    """Leave a part as an earlier worker would."""
    path = work / f"part-{len(left(work)):016x}"
    path.write_bytes(content)
    note = replace(NOTE, have=len(content) if have is None else have, closed=closed)
    note.write(path.with_name(f"{path.name}.json"))
    return path


def broken_off(work: Path, error: BaseException) -> Part:
    """Return a part of three bytes whose download ended with `error`."""
    part = Part(work, NOTE)
    part.write(b"abc")
    with pytest.raises(type(error)), part:
        raise error
    return part


def test_a_note_survives_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    path = tmp_path / "part.json"
    assert Note.read(path) is None
    note = Note(FILE, 7, closed=True)
    note.write(path)
    assert Note.read(path) == note
    assert left(tmp_path) == ["part.json"]
    for text in ("", "{", "[]", "{}", '{"file": {}, "have": "x", "closed": true}'):
        path.write_text(text)
        assert Note.read(path) is None


@pytest.mark.parametrize(
    "error", [NetworkTrouble("reset"), Interrupted("stop"), KeyboardInterrupt()]
)
def test_what_was_received_is_kept_where_the_trouble_may_pass(
    work: Path, error: BaseException
) -> None:
    part = broken_off(work, error)
    assert part.path.read_bytes() == b"abc"
    note = Note.read(part.path.with_name(f"{part.path.name}.json"))
    assert note == Note(FILE, 3, closed=True)


@pytest.mark.parametrize(
    "error", [PermanentError("x"), DiskTrouble("full"), LeaseLost("x"), Cancelled("x")]
)
def test_what_is_of_no_more_use_is_removed(work: Path, error: Exception) -> None:
    """On a full disk, too: the next try needs the room."""
    broken_off(work, error)
    assert left(work) == []


def test_a_part_without_a_byte_is_not_kept(work: Path) -> None:
    with pytest.raises(NetworkTrouble), Part(work, NOTE):
        raise NetworkTrouble("refused")
    assert left(work) == []


def test_a_whole_part_is_handed_over_as_a_file(work: Path) -> None:
    with Part(work, NOTE) as part:
        part.write(b"abc")
        path = part.finish()
        path.rename(work.parent / "tarball")
    assert (work.parent / "tarball").read_bytes() == b"abc"
    assert left(work) == []


def test_a_part_that_was_closed_in_good_order_is_taken_as_it_is(work: Path) -> None:
    """Renamed: whoever still has it open writes into a name that nobody uses."""
    path = put(work, b"x" * 500)
    inode = path.stat().st_ino
    part = take_over(work, unchecked, lambda _: True)
    assert part is not None
    assert (part.have, part.path.stat().st_ino) == (500, inode)
    assert part.path != path
    part.write(b"y")
    part.close()
    assert part.path.read_bytes() == b"x" * 500 + b"y"
    assert left(work) == [part.path.name, f"{part.path.name}.json"]


def test_a_part_that_was_not_closed_is_copied_up_to_its_last_mark(work: Path) -> None:
    """Its worker may wake up and go on writing into it."""
    path = put(work, b"x" * 400 + b"?" * 100, closed=False, have=400)
    with path.open("r+b") as awake:
        part = take_over(work, unchecked, lambda _: True)
        assert part is not None
        awake.write(b"z" * 400)
    assert part.have == 400
    part.close()
    assert part.path.read_bytes() == b"x" * 400


def test_the_longest_part_is_taken_and_all_others_are_removed(work: Path) -> None:
    put(work, b"x" * 10)
    put(work, b"y" * 30)
    put(work, b"z" * 20)
    (work / "index.json").touch()
    part = take_over(work, unchecked, lambda _: True)
    assert part is not None
    part.close()
    assert part.path.read_bytes() == b"y" * 30
    assert left(work) == ["index.json", part.path.name, f"{part.path.name}.json"]


def test_bytes_without_a_note_and_notes_without_bytes_are_litter(work: Path) -> None:
    (work / "part-a").write_bytes(b"x")
    NOTE.write(work / "part-b.json")
    put(work, b"", have=0)
    assert take_over(work, unchecked, lambda _: True) is None
    assert left(work) == []
    assert take_over(work / "gone", unchecked, lambda _: True) is None


def test_the_last_byte_is_always_asked_for_again(work: Path) -> None:
    """No range of bytes is empty."""
    put(work, b"x" * 1000)
    part = take_over(work, unchecked, lambda _: True)
    assert part is not None
    assert part.have == 999
    part.discard()


def test_a_part_is_not_longer_than_its_file(work: Path) -> None:
    """It was cut after its note was written."""
    put(work, b"x" * 5, have=700)
    part = take_over(work, unchecked, lambda _: True)
    assert part is not None
    assert part.have == 5
    part.discard()


def test_without_room_for_a_copy_it_is_fetched_again(work: Path) -> None:
    put(work, b"x" * 400, closed=False)
    asked: list[int] = []

    def no_room(size: int) -> bool:
        asked.append(size)
        return False

    assert take_over(work, unchecked, no_room) is None
    assert asked == [400]
    assert left(work) == []


def test_a_copy_that_is_called_off_leaves_none(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial_download, "BLOCK", 100)
    path = put(work, b"x" * 400, closed=False)

    def off() -> None:
        raise Cancelled("called off")

    with pytest.raises(Cancelled):
        take_over(work, off, lambda _: True)
    assert left(work) == [path.name, f"{path.name}.json"]


def test_what_is_here_already_is_given_in_pieces(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial_download, "BLOCK", 100)
    put(work, bytes(range(250)))
    part = take_over(work, unchecked, lambda _: True)
    assert part is not None
    taken: list[bytes] = []
    checks: list[int] = []
    part.feed(taken.append, lambda: checks.append(1))
    assert b"".join(taken) == bytes(range(250))
    assert len(taken) == len(checks) == 3
    part.discard()


def test_started_over_the_bytes_are_those_of_the_other_file(work: Path) -> None:
    put(work, b"old" * 100)
    part = take_over(work, unchecked, lambda _: True)
    assert part is not None
    other = RemoteFile(2, '"new"')
    part.restart(other)
    part.write(b"n")
    part.close()
    assert part.path.read_bytes() == b"n"
    found = json.loads(part.path.with_name(f"{part.path.name}.json").read_text())
    assert (found["file"]["etag"], found["have"]) == ('"new"', 1)


def test_marks_say_how_much_is_on_disk(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed worker leaves a note of what counts: no more than was flushed."""
    monkeypatch.setattr(partial_download, "MARK", 100)
    part = Part(work, NOTE)
    for _ in range(25):
        part.write(b"x" * 10)
    part._wait()
    note = Note.read(part.path.with_name(f"{part.path.name}.json"))
    assert note is not None
    assert not note.closed
    assert 100 <= note.have <= 250
    part.discard()


def test_a_disk_that_fills_up_is_met_where_the_bytes_are_written(work: Path) -> None:
    part = Part(work, NOTE)
    part._file.close()
    with (
        Path("/dev/full").open("wb", buffering=0) as part._file,
        pytest.raises(OSError, match="No space"),
    ):
        part.write(b"x")
    part.discard()


def test_sweeping_keeps_what_is_in_use(work: Path) -> None:
    part = Part(work, NOTE)
    put(work, b"x")
    sweep(work, keep=part)
    assert left(work) == [part.path.name, f"{part.path.name}.json"]
    sweep(work)
    assert left(work) == []
    part.discard()
