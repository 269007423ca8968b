"""``icfqueue archive``: the same files make the same tarball, and it can be indexed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.folders import DAY, NOON, image, make_folder
from support.users import OTHER_WORKER, ROOT, run_as

from icfqueue.archive import make
from icfqueue.archive.make import Archived, archive
from icfqueue.core.errors import (
    ArchiveExists,
    BadFolder,
    DiskTrouble,
    IcfqueueError,
    NoRoom,
    UsageError,
)
from icfqueue.core.visit import Visit
from icfqueue.store.directory import Store
from icfqueue.tarball.scan import index_stream

VISIT = Visit("study_1", "visit_1")
FILES = {
    "MR1/1.dcm": image(1),
    "MR1/2.dcm": image(2, time=b"130000"),
    "MR10/ünï.dcm": image(3),
    "MR2/" + "n" * 120 + ".dcm": image(4, pixels=70_000),
    "notes.txt": b"of the visit\n",
}
MD5 = "31fac8b7e35e9fbb06b5f44e66a68555"
"""Of the tarball of these files, whoever makes it."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "export", FILES)


def tarball(store: Store) -> Path:
    return store.path(VISIT, VISIT.tarball)


def left(store: Store) -> list[str]:
    """Return all that is in the project's folder."""
    return sorted(path.name for path in store.project_dir(VISIT.project).iterdir())


def test_a_visits_tarball_and_its_md5_appear(store: Store, folder: Path) -> None:
    done = archive(store, VISIT, [folder])
    content = tarball(store).read_bytes()
    assert done == Archived("written", len(content), MD5, 5, 4, 0)
    assert hashlib.md5(content).hexdigest() == MD5
    assert left(store) == [VISIT.tarball, VISIT.md5sum]
    line = store.path(VISIT, VISIT.md5sum).read_text()
    assert line == f"{MD5}  visit_1_dicom.tar\n"
    with tarfile.open(tarball(store)) as tar:
        found = {member.name: member for member in tar}
        assert list(found) == [
            f"study_1_visit_1/{name}" for name in sorted(FILES, key=os.fsencode)
        ]
        for name, content in FILES.items():
            member = found[f"study_1_visit_1/{name}"]
            assert tar.extractfile(member).read() == content  # type: ignore[union-attr]  # it is a file
            assert (member.uname, member.gname, member.uid, member.gid) == (
                "root",
                "root",
                0,
                0,
            )
            assert (member.mode, member.isreg()) == (0o644, True)
    assert {name[16:][:5]: member.mtime - DAY for name, member in found.items()} == {
        "MR1/1": 12 * 3600,
        "MR1/2": 13 * 3600,
        "MR10/": 12 * 3600,
        "MR2/n": 12 * 3600,
        "notes": 13 * 3600,
    }


def test_mode_and_time_of_the_files_and_the_umask_do_not_matter(
    store: Store, folder: Path
) -> None:
    for number, path in enumerate(folder.rglob("*")):
        path.chmod(0o700 if number % 2 else 0o555)
        os.utime(path, (number, number))
    before = os.umask(0o077)
    try:
        assert archive(store, VISIT, [folder]).md5 == MD5
    finally:
        os.umask(before)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/St_Johns"])
def test_the_time_zone_does_not_matter(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert archive(store, VISIT, [folder]).md5 == MD5
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_host_and_the_clock_do_not_matter(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    monkeypatch.setattr("time.time", lambda: 4_000_000_000.0)
    monkeypatch.setattr("os.uname", lambda: None)
    assert archive(store, VISIT, [folder]).md5 == MD5


def test_the_user_does_not_matter(tmp_path: Path) -> None:
    """Neither who does it nor whose the files are."""
    root = Path("/tmp") if ROOT else tmp_path  # where another user may go
    place = root / f"icfqueue-{os.getpid()}-{time.monotonic_ns()}"
    folder = make_folder(place / "export", FILES)
    (place / "store").mkdir()
    try:
        for path in (place, *place.rglob("*")):
            if ROOT:
                os.chown(path, OTHER_WORKER.uid, OTHER_WORKER.uid)
        made = run_as(
            OTHER_WORKER, lambda: archive(Store(place / "store"), VISIT, [folder])
        )
        assert made.md5 == MD5
    finally:
        shutil.rmtree(place)


def test_the_order_of_the_folders_and_how_they_are_cut_does_not_matter(
    store: Store, folder: Path, tmp_path: Path
) -> None:
    """The order in which a file system lists does not, either."""
    other = tmp_path / "other"
    for name in reversed(FILES):
        if name < "MR2":
            (other / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).rename(other / name)
    assert archive(store, VISIT, [folder, other]).md5 == MD5
    assert archive(store, VISIT, [other, folder]) == (
        Archived("up to date", tarball(store).stat().st_size, MD5, 5, 4, 0)
    )


def test_doing_it_again_changes_nothing(store: Store, folder: Path) -> None:
    archive(store, VISIT, [folder])
    before = store.fingerprint(tarball(store))
    assert archive(store, VISIT, [folder]).state == "up to date"
    assert archive(store, VISIT, [folder], force=True).state == "up to date"
    assert store.fingerprint(tarball(store)) == before
    # A sum that is lost or wrong is written again.
    md5sum = store.path(VISIT, VISIT.md5sum)
    for wrong in (None, "0  other\n"):
        md5sum.unlink() if wrong is None else md5sum.write_text(wrong)
        assert archive(store, VISIT, [folder]).state == "up to date"
        assert md5sum.read_text().startswith(MD5)
    assert left(store) == [VISIT.tarball, VISIT.md5sum]


@pytest.mark.parametrize("change", [b"other", b"", None])
def test_another_tarball_is_replaced_only_by_force(
    store: Store, folder: Path, change: bytes | None
) -> None:
    archive(store, VISIT, [folder])
    whole = tarball(store).read_bytes()
    # Of another length, of the same, and one that only goes on longer.
    tarball(store).write_bytes(
        whole + bytes(10240)
        if change is None
        else whole[:1024] + change.ljust(512) + whole[1536:]
    )
    before = tarball(store).read_bytes()
    with pytest.raises(ArchiveExists, match="with other content"):
        archive(store, VISIT, [folder])
    assert tarball(store).read_bytes() == before
    assert archive(store, VISIT, [folder], force=True).state == "replaced"
    assert tarball(store).read_bytes() == whole
    assert left(store) == [VISIT.tarball, VISIT.md5sum]


def test_nothing_is_written_where_something_is_wrong(store: Store, folder: Path) -> None:
    (folder / "link").symlink_to("notes.txt")
    with pytest.raises(BadFolder):
        archive(store, VISIT, [folder])
    assert not store.project_dir(VISIT.project).exists()


def _grown(folder: Path) -> None:
    with (folder / "MR1/2.dcm").open("ab") as file:
        file.write(b"more")


def _cut(folder: Path) -> None:
    os.truncate(folder / "MR1/2.dcm", 5)


def _same_length(folder: Path) -> None:
    (folder / "MR1/2.dcm").write_bytes(image(9, time=b"130000"))


def _gone(folder: Path) -> None:
    (folder / "MR1/2.dcm").unlink()


def _last_gone(folder: Path) -> None:
    (folder / "notes.txt").unlink()


def _added(folder: Path) -> None:
    (folder / "zzz").write_bytes(b"new")


def _linked(folder: Path) -> None:
    (folder / "MR1/2.dcm").rename(folder.parent / "there")
    (folder / "MR1/2.dcm").symlink_to(folder.parent / "there")


@pytest.mark.parametrize(
    "change", [_grown, _cut, _same_length, _gone, _last_gone, _added, _linked]
)
def test_files_that_change_while_they_are_read_are_told(
    store: Store,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
) -> None:
    """After they were looked at; nothing appears."""
    real = make.survey

    def survey(*given: object, **more: object) -> object:
        found = real(*given, **more)  # type: ignore[arg-type]  # what it is called with
        change(folder)
        return found

    monkeypatch.setattr(make, "survey", survey)
    with pytest.raises(BadFolder, match=r"was not archived: .*(meanwhile|link)") as caught:
        archive(store, VISIT, [folder])
    assert caught.value.hint
    assert left(store) == []


def test_a_file_that_changes_in_the_middle_of_its_reading_is_told(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, done = os.readv, []

    def readv(file: int, buffers: list[memoryview]) -> int:
        got = real(file, buffers)
        if not done and len(buffers[0]) > 60_000:
            with Path(f"/proc/self/fd/{file}").resolve().open("r+b") as other:
                other.seek(900)
                done.append(other.write(b"x"))
        return got

    monkeypatch.setattr(os, "readv", readv)
    with pytest.raises(BadFolder, match="MR2/nnn"):
        archive(store, VISIT, [folder])
    assert done
    assert left(store) == []


def test_folders_that_cannot_be_meant_are_wrong_usage(store: Store, folder: Path) -> None:
    for folders, words in [
        ([folder / "notes.txt"], "is no folder"),
        ([folder / "nowhere"], "is no folder"),
        ([folder, folder], "given twice"),
        ([folder, folder / "MR1"], "given twice"),
        ([store.root], "lies in"),
    ]:
        with pytest.raises(UsageError, match=words):
            archive(store, VISIT, folders)


def test_a_disk_without_room_is_told_before_and_while_writing(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(store, "room", lambda: 100)
        with pytest.raises(NoRoom, match="100 bytes are free"):
            archive(store, VISIT, [folder])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(make, "write_all", full)
    with pytest.raises(DiskTrouble, match="No space left") as caught:
        archive(store, VISIT, [folder])
    assert "give the command again" in caught.value.hint
    assert left(store) == []


def test_a_second_archiving_of_the_visit_ends_the_first(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one's work is gone; what the second one makes stands."""
    real = make.write_all

    def second(out: io.FileIO, piece: memoryview) -> None:
        monkeypatch.setattr(make, "write_all", real)
        archive(store, VISIT, [folder])
        real(out, piece)

    monkeypatch.setattr(make, "write_all", second)
    with pytest.raises(IcfqueueError, match="what was written of it is gone"):
        archive(store, VISIT, [folder])
    assert archive(store, VISIT, [folder]).state == "up to date"


def test_what_a_killed_one_left_goes_when_the_visit_is_archived(
    store: Store, folder: Path
) -> None:
    work = store.project_dir(VISIT.project) / ".icfqueue" / ".archive-visit_1" / "tmp-1"
    work.mkdir(parents=True)
    (work / "tar").write_bytes(b"half")
    archive(store, VISIT, [folder])
    assert left(store) == [VISIT.tarball, VISIT.md5sum]


letters = st.characters(
    codec="utf-8", exclude_characters="/\0", categories=["L", "M", "N", "P", "S", "Z", "C"]
)
names = st.one_of(
    st.sampled_from(["a", "b", "a b", "MR&1", "x#", ".git", "~", "\n", "-x", "ü", "..."]),
    st.text(letters, min_size=1, max_size=9),
).filter(lambda name: name not in {".", ".."} and len(name.encode()) < 250)
contents = st.one_of(
    st.builds(
        image, st.integers(0, 99), date=st.sampled_from([b"", b"20140425", b"99991231"])
    ),
    st.binary(max_size=40),
    st.builds(lambda n: image(n)[132 + 40 :], st.integers(0, 9)),
)
trees = st.dictionaries(
    st.lists(names, min_size=1, max_size=3).map("/".join), contents, max_size=6
)


@settings(max_examples=60)
@given(tree=trees, first=contents)
def test_what_comes_out_always_passes_the_index(
    tree: dict[str, bytes], first: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any tree is either refused or becomes a tarball that ``index_tar`` takes."""
    place = tmp_path_factory.mktemp("any")
    files = {
        path: content
        for path, content in tree.items()
        if not any(other.startswith(f"{path}/") for other in tree)
    }
    folder = make_folder(
        place / "in", {"first": first, **{f"t/{n}": c for n, c in files.items()}}
    )
    (place / "store").mkdir()
    made = Store(place / "store")
    try:
        done = archive(made, VISIT, [folder], several_studies=True)
    except BadFolder:
        return
    listed = io.BytesIO()
    with tarball(made).open("rb") as tar:
        found = index_stream(tar, listed, dspath=VISIT.dspath)
    assert (found.size, found.md5, found.dicoms) == (done.size, done.md5, done.dicoms)
    for entry in json.loads(listed.getvalue()):
        path = folder / entry["path"].removeprefix("study_1_visit_1/")
        assert hashlib.md5(path.read_bytes()).hexdigest() == entry["md5"]


def test_the_newest_time_is_that_of_the_index(store: Store, folder: Path) -> None:
    archive(store, VISIT, [folder])
    with tarball(store).open("rb") as tar:
        assert index_stream(tar, io.BytesIO()).newest == NOON + 3600
