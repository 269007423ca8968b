"""Which visits a directory listing names, whatever else it links to."""

from __future__ import annotations

import pytest

from icfqueue.remote.listing import unusable_in_listing, visits_in_listing

ADDRESS = "https://data.example.org/study_1/"

LISTING = """<html><body><h1>Index of /study_1</h1><table>
<a href="?C=N;O=D">Name</a> <a href="?C=M;O=A">Last modified</a>
<a href="/">Parent Directory</a> <a href="../">up</a>
<A HREF="plain_dicom.tar">plain_dicom.tar</A>
<a href='single_dicom.tar'>quotes</a>
<a href="./dot_dicom.tar">./</a>
<a href="/study_1/absolute_dicom.tar">absolute path</a>
<a href="https://data.example.org/study_1/full_dicom.tar">full</a>
<a href="%65ncoded_dicom.tar">percent</a>
<a href="entity&#95;dicom.tar">entity</a>
<a href="plain_dicom.tar">twice</a>
<a href="plain_dicom.tar.md5sum">sum</a>
<a href="folder_dicom.tar/">a folder</a>
<a href="sub/inner_dicom.tar">in a folder</a>
<a href="sub%2Finner2_dicom.tar">hidden slash</a>
<a href="../study_2/other_dicom.tar">another project</a>
<a href="https://elsewhere.example.org/study_1/far_dicom.tar">another host</a>
<a href="http://data.example.org/study_1/insecure_dicom.tar">another scheme</a>
<a href="asked_dicom.tar?x=1">query</a>
<a href="-dash_dicom.tar">bad id</a> <a href=".hidden_dicom.tar">bad id</a>
<a href="with%20space_dicom.tar">bad id</a> <a href="%00_dicom.tar">bad id</a>
<a href="..%2F..%2Fetc_dicom.tar">climbs</a> <a href="t%C3%A4r_dicom.tar">umlaut</a>
<a href="_dicom.tar">no id</a> <a href="upper_DICOM.TAR">upper</a>
<a href="javascript:alert(1)">script</a> <a href="http://[broken_dicom.tar">broken</a>
<a name="anchor">no link</a> <a href>empty</a> <!-- <a href="comment_dicom.tar"> -->
<a href="unclosed_dicom.tar">"""


def test_a_listing_gives_the_tarballs_right_in_the_folder_and_nothing_else() -> None:
    found = visits_in_listing("study_1", "https://data.example.org/study_1/", LISTING)
    assert [visit.id for visit in found] == [
        "absolute",
        "dot",
        "encoded",
        "entity",
        "full",
        "plain",
        "single",
        "unclosed",
    ]


def test_a_listing_below_a_folder_with_an_encoded_name_is_read() -> None:
    page = '<a href="/%7Eicf/study_1/a_dicom.tar"></a><a href="b_dicom.tar"></a>'
    found = visits_in_listing("study_1", "https://example.org/~icf/study_1/", page)
    assert [visit.id for visit in found] == ["a", "b"]


def test_tarballs_that_give_no_visit_are_named() -> None:
    """Only what lies right in the folder, is a tarball, and is called amiss."""
    found = unusable_in_listing("study_1", ADDRESS, LISTING)
    assert set(found) == {
        *("-dash_dicom.tar", ".hidden_dicom.tar", "with space_dicom.tar"),
        *("\0_dicom.tar", "tär_dicom.tar", "_dicom.tar"),
    }
    assert found == sorted(found)


PAGES = ["", "no html", "<a href=", "<a href='x'", "\0", "<" * 9999]


@pytest.mark.parametrize("page", PAGES)
def test_any_page_gives_a_list(page: str) -> None:
    assert visits_in_listing("study_1", ADDRESS, page) == []
    assert unusable_in_listing("study_1", ADDRESS, page) == []
