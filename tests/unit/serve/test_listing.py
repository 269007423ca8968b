"""A folder's listing as Apache writes it: every visible name, escaped, linked."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin

import pytest

from icfqueue.remote.listing import Listing
from icfqueue.serve import listing as listings
from icfqueue.store.beneath.walk import Links as Followed
from icfqueue.store.reading import StoreReader

NAMES = ["b_dicom.tar", "a b", "ä&<c>", 'q"uote', "a:b", "per%cent", "#hash", "que?ry"]


class Links(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, _: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name == "href"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (*NAMES, ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / "catalog").mkdir()
    (tmp_path / ".icfqueue").mkdir()
    return tmp_path


def listing(folder: Path, path: str, query: str) -> str:
    """Return the listing of a store directory itself."""
    return listings.listing(listings.visible(StoreReader(folder), folder), path, query)


def linked(page: str) -> list[str]:
    """Return the names below the folder that the links of a page lead to, in order."""
    address = "http://127.0.0.1/study_1/"
    whole = [urljoin(address, link) for link in Links(page).found if link[0] != "?"]
    return [
        unquote(link.removeprefix(address)) for link in whole if link.startswith(address)
    ]


def test_every_visible_name_is_linked_whatever_letters_it_has(folder: Path) -> None:
    page = listing(folder, "/study_1/", "")
    assert linked(page) == sorted([*NAMES, "catalog/"])
    assert "hidden" not in page
    assert ".icfqueue" not in page


def test_names_are_no_html(folder: Path) -> None:
    page = listing(folder, "/<script>/", "")
    assert "<c>" not in page
    assert "<script>" not in page


def test_the_order_can_be_turned_round(folder: Path) -> None:
    there = linked(listing(folder, "/study_1/", "C=N;O=A"))
    back = linked(listing(folder, "/study_1/", "C=N;O=D"))
    assert back == there[::-1]


@pytest.mark.parametrize(
    ("path", "parent"), [("/", None), ("/study_1/", "/"), ("/a b/c/", "/a%20b/")]
)
def test_the_way_up_is_linked_but_from_the_top(
    folder: Path, path: str, parent: str | None
) -> None:
    page = listing(folder, path, "")
    links = [link for link in Links(page).found if link.startswith("/")]
    assert links == ([parent] if parent else [])
    assert ("Parent Directory" in page) is (parent is not None)


def test_sizes_are_shown_in_bytes_and_of_folders_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 123)
    (tmp_path / "folder").mkdir()
    rows = listing(tmp_path, "/", "").splitlines()
    assert ">123</td>" in next(row for row in rows if ">file<" in row)
    assert ">-</td>" in next(row for row in rows if ">folder/<" in row)


def test_links_are_left_out_unless_the_site_wants_them_followed(tmp_path: Path) -> None:
    (tmp_path / "store" / "real").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    store = tmp_path / "store"
    (store / "broken").symlink_to("nowhere")
    (store / "project").symlink_to(tmp_path / "elsewhere")
    assert linked(listing(store, "/study_1/", "")) == ["real/"]
    followed = listings.visible(StoreReader(store, Followed.PROJECTS), store)
    page = listings.listing(followed, "/study_1/", "")
    assert linked(page) == ["project/", "real/"]


def test_a_name_that_is_no_text_is_linked_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "b\udcff").touch()
    page = listing(tmp_path, "/study_1/", "")
    assert 'href="b%FF"' in page


def test_it_is_a_listing_that_the_client_reads(folder: Path) -> None:
    page = listing(folder, "/study_1/", "")
    read = Listing("study_1", "http://127.0.0.1/study_1/")
    read.feed(page.encode())
    read.close()
    assert [visit.id for visit in read.visits()] == ["b"]
