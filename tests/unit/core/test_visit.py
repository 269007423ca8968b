"""Ids are checked before any path is made of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfqueue.core.errors import BadId, UsageError
from icfqueue.core.visit import MAX_ID, Visit, check_id, expand, project_named, visit_named

BAD = [
    "",
    ".",
    "..",
    ".hidden",
    "-rf",
    "a/b",
    "../x",
    "a b",
    "a\n",
    "a\x00",
    "ä",
    "\u0661",
    "a*",
    "a:b",
    "a#b",
    "x" * (MAX_ID + 1),
]


@pytest.mark.parametrize("bad", BAD)
def test_an_id_that_must_not_become_a_path_is_refused(bad: str) -> None:
    with pytest.raises(BadId) as found:
        Visit("study", bad)
    assert found.value.hint
    assert "\n" not in str(found.value)
    with pytest.raises(BadId):
        Visit(bad, "visit")


@pytest.mark.parametrize("bad", [None, 3, b"x", ["x"]])
def test_what_is_no_text_is_no_id(bad: Any) -> None:
    with pytest.raises(BadId):
        check_id(bad, "visit")


@pytest.mark.parametrize("good", ["a", "_", "0", "A.b-c_d", "x..y", "x" * MAX_ID])
def test_ids_of_the_documented_letters_are_allowed(good: str) -> None:
    visit = Visit(good, good)
    assert Visit.parse(str(visit)) == visit
    assert Visit.of_tarball(good, visit.tarball) == visit


@given(st.text(), st.text())
def test_no_two_ids_lead_out_of_the_projects_folder(project: str, name: str) -> None:
    """Whatever is accepted is one path component, and short enough to be one."""
    try:
        visit = Visit(project, name)
    except BadId:
        return
    files = (
        *(visit.tarball, visit.md5sum, visit.metadata_tarball, visit.metadata_dicoms),
        *(visit.refs, visit.repo_export),
    )
    for word in (project, *files):
        assert "/" not in word
        assert word not in {"", ".", ".."}
        assert len(word.encode()) <= 255


@pytest.mark.parametrize("text", ["", "a", "a/b/c", "/a", "a/", "../a"])
def test_only_project_and_visit_can_be_parsed(text: str) -> None:
    with pytest.raises(BadId):
        Visit.parse(text)


@pytest.mark.parametrize(
    "name", ["x.tar", "_dicom.tar.md5sum", "_dicom.tar", ".x_dicom.tar", "a b_dicom.tar"]
)
def test_other_files_are_no_tarballs_of_a_visit(name: str) -> None:
    assert Visit.of_tarball("study", name) is None


@pytest.mark.parametrize("name", ["v1", "A.b-c_d", "x" * MAX_ID])
def test_what_may_be_called_so_is_the_visit_of_that_name(name: str) -> None:
    assert Visit.named("study", name) == Visit("study", name)


@pytest.mark.parametrize("name", BAD)
def test_what_may_not_be_called_so_is_none_and_no_error(name: str) -> None:
    """Names of a listing or a folder are looked through, not complained of."""
    assert Visit.named("study", name) is None
    assert Visit.named(name, "v1") is None


def test_file_names_are_those_of_the_institutes_tools() -> None:
    visit = Visit("study_1", "v1")
    assert visit.tarball == "v1_dicom.tar"
    assert visit.md5sum == "v1_dicom.tar.md5sum"
    assert visit.metadata_tarball == "v1_metadata_tarball.json"
    assert visit.metadata_dicoms == "v1_metadata_dicoms.json"
    assert visit.refs == "v1_XDLRA--refs"
    assert visit.repo_export == "v1_XDLRA--repo-export"
    assert visit.dspath == "icf/v1_dicom.tar"
    assert visit.storepath == "study_1/v1_dicom.tar"


@pytest.mark.parametrize(
    ("text", "project"),
    [
        ("study_1", "study_1"),
        ("study_1/", "study_1"),
        ("./study_1//", "study_1"),
        ("/", "/"),
        ("", ""),
        ("../x", "../x"),
    ],
)
def test_a_project_may_be_named_as_a_shell_completes_its_folder(
    text: str, project: str
) -> None:
    assert project_named(text) == project


@pytest.mark.parametrize(
    ("text", "visit"),
    [
        ("v1", "v1"),
        ("v1_dicom.tar", "v1"),
        ("study_1/v1_dicom.tar", "v1"),
        ("./study_1/v1_dicom.tar", "v1"),
        ("v*_dicom.tar", "v*"),
        ("_dicom.tar", "_dicom.tar"),
        ("other/v1", "other/v1"),
        ("v1_dicom.tar.gz", "v1_dicom.tar.gz"),
        ("", ""),
    ],
)
def test_a_visit_may_be_named_by_its_tarball(text: str, visit: str) -> None:
    assert visit_named("study_1", text) == visit


def test_globs_are_those_of_a_shell_and_each_visit_is_named_once() -> None:
    known = [Visit("p", name) for name in ("sub-01", "sub-02", "Sub-01", "x")]

    def ids(*named: str) -> list[str]:
        return [visit.id for visit in expand("p", named, lambda: known)]

    assert ids("sub-*") == ["sub-01", "sub-02"]
    assert ids("new", "sub-0[2-9]", "sub-02", "?") == ["new", "sub-02", "x"]
    assert ids("*-01") == ["sub-01", "Sub-01"]


def test_a_glob_of_none_is_told_with_what_there_is() -> None:
    known = [Visit("p", f"sub-{number:02}") for number in range(12)]
    with pytest.raises(UsageError, match=r"no visit of p is called like 'x\*'") as caught:
        expand("p", ["x*"], lambda: known)
    assert caught.value.hint == "there are sub-00, sub-01, sub-02 and 9 more"
    with pytest.raises(UsageError) as caught:
        expand("p", ["x*"], list)
    assert caught.value.hint == "there are none"
    with pytest.raises(BadId):
        expand("p", ["a/b"], list)


def test_without_a_glob_nobody_is_asked_what_there_is() -> None:
    assert expand("p", ["v"], lambda: pytest.fail("asked")) == [Visit("p", "v")]
