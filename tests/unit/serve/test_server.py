"""The server of a store: what exists for it, for whom, and which part is sent.

Over real connections: ``tests/integration/test_serve.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from support.credentials import basic

from icfqueue.demo.server import DemoStore
from icfqueue.serve.server import Handler, Span, StoreServer, content_type, validators
from icfqueue.store.beneath.walk import Links
from icfqueue.store.reading import StoreReader


@pytest.fixture
def web(tmp_path: Path) -> Iterator[DemoStore]:
    root = tmp_path / "web"
    (root / "study" / ".icfqueue").mkdir(parents=True)
    (root / "study" / ".icfqueue" / "secret").touch()
    (root / "study" / "a b.tar").write_bytes(bytes(range(100)))
    (root / "study" / "inside").symlink_to("a b.tar")
    (root / "study" / "outside").symlink_to("/etc/passwd")
    (tmp_path / "private").touch()
    with DemoStore(root, user="alice", password="p:w", realm="R") as made:
        yield made


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", ""),
        ("/study/a%20b.tar", "study/a b.tar"),
        ("//study///a%20b.tar", "study/a b.tar"),
    ],
)
def test_what_lies_in_the_folder_is_found(web: DemoStore, path: str, name: str) -> None:
    assert web.find(path) == web.root / name


@pytest.mark.parametrize(
    "path",
    [
        "/none",
        "/study/.icfqueue/secret",
        "/study/%2Eicfqueue/secret",
        "/../private",
        "/%2e%2e/private",
        "/study/..%2f..%2fprivate",
        "/study/outside",
        "/study/inside",
        "/study/a%00b",
    ],
)
def test_nothing_hidden_or_outside_exists(web: DemoStore, path: str) -> None:
    assert web.find(path) is None


class OnlyAlice:
    def opens(self, user: str, password: str) -> bool:
        return (user, password) == ("alice", "p:w ü")


def test_only_who_is_let_in_gets_anything(tmp_path: Path) -> None:
    with StoreServer(StoreReader(tmp_path), login=OnlyAlice()) as web:
        assert web.allows(basic("alice:p:w ü"))
        assert web.allows(basic("alice:p:w ü").replace("Basic", "basic"))
        others = (basic("alice:"), basic("bob:p:w ü"), basic("alice"), "Bearer p:w", "ü")
        for header in (None, "", "Basic", "Basic !", "Basic /w==", *others):
            assert not web.allows(header), header
    with StoreServer(StoreReader(tmp_path)) as web:
        assert web.allows(None)


def test_links_that_the_site_wants_followed_are_followed(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "file").touch()
    (tmp_path / "store" / "study").symlink_to(tmp_path / "archive")
    for links, found in ((Links.NONE, False), (Links.PROJECTS, True)):
        with StoreServer(StoreReader(tmp_path / "store", links)) as web:
            assert (web.find("/study/file") is not None) is found


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:80", 200),
        ("localhost", 200),
        ("evil.example.org", 421),
        ("127.0.0.1.evil.example.org:8000", 421),
        ("", 421),
    ],
)
def test_a_name_of_another_site_does_not_lead_here(
    tmp_path: Path, host: str, status: int
) -> None:
    """Else a page of that site could read the store through its reader's browser."""
    names = {"127.0.0.1", "localhost"}
    with StoreServer(StoreReader(tmp_path), names=names) as web:
        answer = requests.get(f"{web.url}/", headers={"Host": host}, timeout=20)
        assert answer.status_code == status


def test_the_page_at_the_top_gets_the_address_that_was_asked(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    with StoreServer(StoreReader(tmp_path), home=lambda address: f"at {address}") as web:

        def ask(path: str, host: str, **more: str) -> str:
            headers = {"Host": host, **more}
            return requests.get(web.url + path, headers=headers, timeout=20).text

        assert ask("/", "icf.example.org:80") == "at http://icf.example.org:80"
        assert ask("/", "[::1]:80") == "at http://[::1]:80"
        # A server with TLS before it.
        proxied = ask("/", "icf.example.org", **{"X-Forwarded-Proto": "https"})
        assert proxied == "at https://icf.example.org"
        # What is no name is not shown.
        assert ask("/", "a<b>'") == f"at {web.url}"
        assert "Index of /study" in ask("/study/", "x")


def test_pages_of_ours_run_nothing_and_a_redirect_stays_here(web: DemoStore) -> None:
    login = ("alice", "p:w")
    for path in ("/", "/study/", "/none"):
        answer = requests.get(web.url + path, auth=login, timeout=20)
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    answer = requests.get(
        f"{web.url}//study", auth=login, timeout=20, allow_redirects=False
    )
    assert (answer.status_code, answer.headers["Location"]) == (301, "/study/")


def test_the_address_has_no_password_and_requests_are_counted(web: DemoStore) -> None:
    assert "p:w" not in web.url
    for login in (None, ("alice", "p:w"), ("alice", "p:w")):
        requests.get(f"{web.url}/study/", auth=login, timeout=20)
    assert (web.count(), web.count(status=401), web.count("GET", "/study/", 200)) == (
        3,
        1,
        2,
    )


TAGS = validators(100, 1_700_000_000_000_000_000)
SPANS = [
    ({}, Span(0, 100)),
    ({"Range": "bytes=0-9"}, Span(0, 10)),
    ({"Range": "bytes=90-"}, Span(90, 10)),
    ({"Range": "bytes=90-500"}, Span(90, 10)),
    ({"Range": "bytes=-7"}, Span(93, 7)),
    ({"Range": "bytes=-700"}, Span(0, 100)),
    # Beyond the end: nothing can be sent.
    ({"Range": "bytes=100-"}, None),
    ({"Range": "bytes=-0"}, None),
    # What need not be understood gives the whole.
    ({"Range": "bytes=0-1,5-6"}, Span(0, 100)),
    ({"Range": "lines=1-2"}, Span(0, 100)),
    ({"Range": "bytes=9-1"}, Span(0, 100)),
    ({"Range": "bytes=-"}, Span(0, 100)),
    # A part only of the same file.
    ({"Range": "bytes=5-", "If-Range": TAGS["ETag"]}, Span(5, 95)),
    ({"Range": "bytes=5-", "If-Range": TAGS["Last-Modified"]}, Span(5, 95)),
    ({"Range": "bytes=5-", "If-Range": '"other"'}, Span(0, 100)),
]


@pytest.mark.parametrize(("headers", "expected"), SPANS)
def test_the_part_is_sent_that_was_asked_for(
    headers: dict[str, str], expected: Span | None
) -> None:
    asked: Any = SimpleNamespace(command="GET", headers=headers)
    assert Handler.span(asked, 100, TAGS) == expected
    # HEAD speaks of the whole file.
    head: Any = SimpleNamespace(command="HEAD", headers=headers)
    assert Handler.span(head, 100, TAGS) == Span(0, 100)


def test_a_file_is_known_again_by_size_and_time() -> None:
    found = validators(255, 1_700_000_000_123_456_789)
    assert found["ETag"].startswith('"ff-')
    assert found["Last-Modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert validators(256, 1_700_000_000_123_456_789)["ETag"] != found["ETag"]
    assert validators(255, 1_700_000_000_123_999_789)["ETag"] != found["ETag"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("app.js", "text/javascript; charset=utf-8"),
        ("v_dicom.tar", "application/x-tar"),
        ("v_dicom.tar.md5sum", "text/plain; charset=utf-8"),
        ("v_XDLRA--refs", "application/octet-stream"),
    ],
)
def test_types_do_not_depend_on_the_machines_own_tables(name: str, kind: str) -> None:
    assert content_type(Path(name)) == kind
