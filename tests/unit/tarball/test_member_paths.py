"""Which member paths a dataset may promise."""

from __future__ import annotations

import pytest

from icfqueue.core.errors import BadTarball
from icfqueue.tarball.header import FILE, HARD_LINK, OTHER, SPARSE, SYMBOLIC_LINK, Member
from icfqueue.tarball.member_paths import Paths, unfetchable, unsafe
from icfqueue.tarball.remedies import MEND

DSPATH = "icf/v1_dicom.tar"


def member(path: str, kind: str = FILE) -> Member:
    return Member(path, 0, 0, kind, 0, 0)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/",
        "..",
        "../a",
        "a/../b",
        "a/..",
        "a\\..\\b",
        ".git",
        ".GIT/config",
        "a/.Git/x",
        ".git ",
        ".git.",
        ".git . .",
        "git~1",
        "GIT~1/x",
        ".git::$INDEX_ALLOCATION/x",
        ".git:stream",
        "a\\.git\\x",
        ".g\u200cit",
        ".git\ufeff/x",
        "\u206a.git",
    ],
)
def test_no_member_may_lead_outside_or_into_git(path: str) -> None:
    """Whatever file system would take it for '..' or '.git' is refused, DICOM or not."""
    assert unsafe(path)
    with pytest.raises(BadTarball, match="member"):
        Paths(DSPATH).check(member(path, OTHER))


@pytest.mark.parametrize(
    "path", ["a/b.dcm", "..a/b", "a../b", "git", "a/digit~1x", ".gitx", "a/.hidden", "…"]
)
def test_other_names_are_safe(path: str) -> None:
    assert not unsafe(path)


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("a&b", "&"),
        ("a/b#c", "#"),
        ("./a", "leading './'"),
        ("a//b", "shortest form"),
        ("a/./b", "shortest form"),
        ("a/", "shortest form"),
        ("", "shortest form"),
        ("a\nb", "control"),
        ("a\rb", "control"),
        ("a\x00b", "control"),
        ("a\x7fb", "control"),
        ("a\x85b", "control"),
        ("a\udcffb", "UTF-8"),
        ("x" * 256, "255 bytes"),
        ("ä" * 128, "255 bytes"),
        ("/".join(["x" * 200] * 20), "4000 bytes"),
        ("a/.gitattributes", "'.git'"),
        (".gitattributes", "'.git'"),
        (".GITmodules", "'.git'"),
        (".datalad/config", "dataset's own"),
        (".Datalad", "dataset's own"),
        ("icf", "in the way"),
        (DSPATH, "in the way"),
        (f"{DSPATH}/a", "in the way"),
    ],
)
def test_a_dicom_that_datalad_could_not_give_back_is_refused(path: str, word: str) -> None:
    why, hint = unfetchable(path, DSPATH)
    assert word in why
    assert hint
    with pytest.raises(BadTarball, match="member"):
        Paths(DSPATH).add(path)


@pytest.mark.parametrize(
    "path",
    [
        "study_1_v1/MR.1.3.46",
        "a b/c'd\"e{f}%g?h\\i\tj.dcm",
        "ä/ö\u20ac",
        "icf/other.dcm",
        "x" * 255,
        "a/.datalad/b",
    ],
)
def test_what_datalad_gives_back_is_let_in(path: str) -> None:
    paths = Paths(DSPATH)
    paths.check(member(path))
    paths.add(path)


def test_dot_slash_names_the_command_that_repacks() -> None:
    with pytest.raises(BadTarball) as caught:
        Paths(DSPATH, tar="v 1_dicom.tar").add("./a")
    assert caught.value.hint == MEND


@pytest.mark.parametrize("kind", [HARD_LINK, SYMBOLIC_LINK, SPARSE])
def test_a_member_without_content_of_its_own_is_refused(kind: str) -> None:
    with pytest.raises(BadTarball, match=kind) as caught:
        Paths(DSPATH).check(member("a/b", kind))
    assert "pack" in caught.value.hint


@pytest.mark.parametrize(
    "paths",
    [
        ["a", "a"],
        ["a/b", "a/b"],
        ["a", "a/b"],
        ["a/b", "a"],
        ["a/b/c/d", "a/b"],
        ["a/b", "a/b/c/d"],
        ["s/1", "s/2", "s/1"],
    ],
)
def test_clashes_are_found_in_either_order(paths: list[str]) -> None:
    """The same path twice, and a path that is both file and folder."""
    known = Paths(DSPATH)
    for path in paths[:-1]:
        known.add(path)
    with pytest.raises(BadTarball, match="member"):
        known.add(paths[-1])


def test_names_in_a_known_folder_are_still_checked() -> None:
    """The short way for harmless names lets nothing else through."""
    known = Paths(DSPATH)
    known.add("icf/a.dcm")
    with pytest.raises(BadTarball, match="in the way"):
        known.add(DSPATH)
    known.add("s/a.dcm")
    for name in ("b&c", ".gitx", "b\n"):
        with pytest.raises(BadTarball, match="member"):
            known.add(f"s/{name}")
    with pytest.raises(BadTarball, match="member"):
        known.check(member("s/.git"))
    deep = "/".join(["y" * 190] * 20)
    known.add(f"{deep}/z")
    with pytest.raises(BadTarball, match="4000"):
        known.add(f"{deep}/{'z' * 200}")


def test_message_shows_control_characters_and_is_not_endless() -> None:
    with pytest.raises(BadTarball) as caught:
        Paths(DSPATH).add("a\n" + "b" * 3000)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
