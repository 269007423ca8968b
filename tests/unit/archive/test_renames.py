"""Members are renamed only where no dataset could have them, and always in one way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfqueue.archive.renames import Content, Named, renamed
from icfqueue.core.errors import BadTarball
from icfqueue.tarball.header import FILE, Member
from icfqueue.tarball.member_paths import Paths

DSPATH = "icf/visit_1_dicom.tar"


def image(name: str, md5: str = "1") -> Content:
    return Content(name, True, 9, md5)


def text(name: str, md5: str = "1") -> Content:
    return Content(name, False, 9, md5)


def names(*contents: Content) -> list[str]:
    return [found.name for found in renamed(contents, DSPATH)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("p/a b.dcm", "p/a b.dcm"),
        ("./p/a", "p/a"),
        ("p//a/./b", "p/a/b"),
        ("p/T1 & T2#3", "p/T1 _ T2_3"),
        ("./p/T1 & T2", "p/T1 _ T2"),
        ("line\nend\x7f", "line_end_"),
        ("not utf-8 \udcff", "not utf-8 _"),
        ("/etc/a", "etc/a"),
        ("../../a", "__/__/a"),
        ("a\\..\\b", "a_.._b"),
        ("p/.git/a", "p/_.git/a"),
        ("p/.gitignore", "p/_.gitignore"),
        ("p/GIT~1/a", "p/_GIT~1/a"),
        (".datalad/a", "_.datalad/a"),
        (f"{DSPATH}/a", f"_{DSPATH}/a"),
        ("/", "_"),
    ],
)
def test_a_name_keeps_what_it_can_keep(old: str, new: str) -> None:
    [found] = renamed([image(old)], DSPATH)
    assert found.name == new
    assert bool(found.why) == (old != new)


def test_all_that_is_wrong_with_a_name_is_told() -> None:
    [found] = renamed([image("./a&b")], DSPATH)
    assert found.why == (
        "has a leading './', which DataLad drops when it looks for it, and has '&' or '#' "
        "in its path, which DataLad's archive address cannot carry"
    )


def test_what_is_no_image_is_called_as_it_likes() -> None:
    """Unless it leads out of its folder; only its './' goes, as that of images does."""
    found = names(text("p/a&b"), text("./p/c#"), text("p/../d&"), text("p/.git"))
    assert found == ["p/a&b", "p/c#", "p/__/d_", "p/_.git"]


def test_who_may_keep_a_name_does_and_the_others_get_numbers() -> None:
    assert names(image("a&.dcm"), image("./a_.dcm"), image("a_.dcm"), image("a#.dcm")) == [
        "a_-3.dcm",
        "a_-2.dcm",
        "a_.dcm",
        "a_-4.dcm",
    ]
    assert names(image(".x&"), image(".x_")) == [".x_-2", ".x_"]


def test_of_a_name_that_is_there_twice_the_last_counts() -> None:
    """As for tar and DataLad; what is the same needs not be there twice."""
    found = renamed([image("a", "1"), image("a", "2"), image("a", "1"), text("b")], DSPATH)
    assert found == [
        Named("", "is in it twice, with the same content"),
        Named("a-2", "is in it twice, with other content"),
        Named("a", ""),
        Named("b", ""),
    ]


def test_a_file_that_is_a_folder_as_well_gets_another_name() -> None:
    found = renamed([image("a"), image("a/b"), image("x&/c"), image("x_")], DSPATH)
    assert found[0] == Named("a-2", "is both a file and a folder")
    assert [one.name for one in found[1:]] == ["a/b", "x_/c", "x_-2"]


def test_a_name_that_is_too_long_cannot_be_mended() -> None:
    with pytest.raises(BadTarball, match="of more than 255 bytes"):
        renamed([image("x" * 256)], DSPATH)


names_of_parts = st.sampled_from(
    [
        *[
            "a",
            "a_",
            "a&",
            "a#",
            "b",
            ".",
            "..",
            ".git",
            "git~1",
            ".datalad",
            "icf",
            "visit_1_dicom.tar",
            "_",
            "a_-2",
            "ü",
        ],
        "",
        "\\..",
        "\n",
        "\udcff",
    ]
)
contents = st.builds(
    Content,
    st.lists(names_of_parts, min_size=1, max_size=4).map("/".join),
    st.booleans(),
    st.just(1),
    st.sampled_from(["1", "2"]),
)


@given(st.lists(contents, max_size=8))
def test_whatever_a_tar_holds_the_index_takes_the_new_names(given: list[Content]) -> None:
    found = renamed(given, DSPATH)
    assert len(found) == len(given)
    paths = Paths(DSPATH)
    for content, (name, why) in zip(given, found, strict=True):
        assert why or name == content.name
        if not name:
            continue
        paths.check(Member(name, 1, 0, FILE, 0, 512))
        paths.add(name) if content.dicom else paths.pass_over(name)
    kept = [name for name, _ in found if name]
    assert len(set(kept)) == len(kept)
    assert renamed(given, DSPATH) == found
