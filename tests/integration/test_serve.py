"""A served store answers as a plain client expects; ``icfqueue serve`` serves one."""

from __future__ import annotations

import html
import http.client
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import bcrypt
import pytest
import requests
from support import datasets
from support.credentials import set_credential

from icfqueue.core.settings import Settings
from icfqueue.demo.server import DemoStore
from icfqueue.remote.listing import Listing
from icfqueue.serve.serving import serving
from icfqueue.steps import update_catalog
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store

CONTENT = bytes(range(256)) * 100


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "web"
    (root / "study" / "catalog").mkdir(parents=True)
    (root / "study" / ".icfqueue").mkdir()
    (root / "study" / ".icfqueue" / "secret").write_text("hidden")
    (root / "study" / "v_dicom.tar").write_bytes(CONTENT)
    (root / "study" / "empty").touch()
    (root / "study" / "catalog" / "index.html").write_text("<html>catalog</html>")
    (root / "study" / "catalog" / "app.js").write_text("1")
    (root / "study" / "catalog" / "logo.svg").write_text("<svg/>")
    (root / "study" / "catalog" / "data.json").write_text("{}")
    (root / "study" / "inside").symlink_to("v_dicom.tar")
    (root / "study" / "outside").symlink_to("/etc/passwd")
    (root / "study" / "up").symlink_to(tmp_path)
    (tmp_path / "private").write_text("private")
    return root


@pytest.fixture
def web(folder: Path) -> Iterator[DemoStore]:
    with DemoStore(folder, auth=False) as web:
        yield web


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def test_without_the_password_nothing_is_served(
    folder: Path, session: requests.Session
) -> None:
    with DemoStore(folder, user="a", password="p:w", realm="R") as web:
        url = f"{web.url}/study/v_dicom.tar"
        for login in (None, ("a", "x"), ("b", "p:w"), ("", "")):
            answer = session.get(url, auth=login)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"] == 'Basic realm="R", charset="UTF-8"'
        assert session.get(url, auth=("a", "p:w")).content == CONTENT
        assert web.requests == {
            ("GET", "/study/v_dicom.tar", 401): 4,
            ("GET", "/study/v_dicom.tar", 200): 1,
        }


def test_a_browser_may_have_the_password_in_the_address(
    folder: Path, session: requests.Session
) -> None:
    with DemoStore(folder) as web:
        url = web.url.replace("//", "//demo:demo@")
        assert session.get(f"{url}/study/catalog/").text == "<html>catalog</html>"


@pytest.mark.parametrize(
    ("wanted", "span"),
    [
        ("bytes=0-", (0, 25600)),
        ("bytes=100-199", (100, 200)),
        ("bytes=25599-", (25599, 25600)),
        ("bytes=100-999999", (100, 25600)),
        ("bytes=-10", (25590, 25600)),
        ("bytes=-99999", (0, 25600)),
    ],
)
def test_a_range_is_served(
    web: DemoStore, session: requests.Session, wanted: str, span: tuple[int, int]
) -> None:
    answer = session.get(f"{web.url}/study/v_dicom.tar", headers={"Range": wanted})
    whole = span == (0, 25600)
    assert answer.status_code == (200 if whole else 206)
    assert answer.content == CONTENT[slice(*span)]
    if not whole:
        assert answer.headers["Content-Range"] == f"bytes {span[0]}-{span[1] - 1}/25600"


@pytest.mark.parametrize("wanted", ["bytes=25600-", "bytes=-0"])
def test_a_range_beyond_the_end_is_refused(
    web: DemoStore, session: requests.Session, wanted: str
) -> None:
    answer = session.get(f"{web.url}/study/v_dicom.tar", headers={"Range": wanted})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == "bytes */25600"


@pytest.mark.parametrize("wanted", ["bytes=0-1,5-6", "lines=1-2", "bytes=9-1", "bytes=-"])
def test_a_range_that_need_not_be_understood_gives_the_whole(
    web: DemoStore, session: requests.Session, wanted: str
) -> None:
    answer = session.get(f"{web.url}/study/v_dicom.tar", headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (200, CONTENT)


def test_a_range_holds_only_for_the_same_file(
    web: DemoStore, session: requests.Session, folder: Path
) -> None:
    url = f"{web.url}/study/v_dicom.tar"
    head = session.head(url)
    assert head.headers["Content-Length"] == "25600"
    for name in ("ETag", "Last-Modified"):
        headers = {"Range": "bytes=5-", "If-Range": head.headers[name]}
        assert session.get(url, headers=headers).status_code == 206
    os.utime(folder / "study" / "v_dicom.tar", (1, 1))
    for name in ("ETag", "Last-Modified"):
        headers = {"Range": "bytes=5-", "If-Range": head.headers[name]}
        assert session.get(url, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/study/.icfqueue/secret",
        "/study/.icfqueue/",
        "/study/outside",
        "/study/inside",
        "/study/up/private",
        "/../private",
        "/%2e%2e/private",
        "/study/..%2f..%2fprivate",
        "/study/%00",
        "//etc/passwd",
        "/study/absent",
        "/" + "x" * 5000,
    ],
)
def test_nothing_hidden_or_outside_is_served(web: DemoStore, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", web.port)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == 404
    assert b"private" not in answer.read()
    connection.close()


def test_the_catalog_has_the_content_types_that_a_browser_needs(
    web: DemoStore, session: requests.Session
) -> None:
    for name, kind in {
        "": "text/html; charset=utf-8",
        "app.js": "text/javascript; charset=utf-8",
        "logo.svg": "image/svg+xml",
        "data.json": "application/json",
    }.items():
        answer = session.get(f"{web.url}/study/catalog/{name}")
        assert answer.headers["Content-Type"] == kind
    answer = session.get(f"{web.url}/study/catalog", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (301, "/study/catalog/")


def test_a_listing_names_every_visible_file(
    web: DemoStore, session: requests.Session, folder: Path
) -> None:
    for name in ("a&b<c>.txt", "x:y.txt", 'q"uote.txt', "100%.txt", "ä.txt"):
        (folder / "study" / name).touch()
    page = session.get(f"{web.url}/study/").text
    for name in ("a&amp;b&lt;c&gt;.txt", "./x%3Ay.txt", "100%25.txt", "catalog/"):
        assert f">{name}<" in page or f'"{name}"' in page
    assert ".icfqueue" not in page
    assert '<a href="?C=N;O=D">' in page
    assert '<a href="/">Parent Directory</a>' in page
    assert "Parent Directory" not in session.get(f"{web.url}/").text
    found = Listing("study", f"{web.url}/study/")
    found.feed(page.encode())
    found.close()
    assert [visit.id for visit in found.visits()] == ["v"]


def test_one_connection_serves_many_requests(
    web: DemoStore, session: requests.Session
) -> None:
    ports = set()
    for name in ("v_dicom.tar", "absent", "empty", "v_dicom.tar"):
        with session.get(f"{web.url}/study/{name}", stream=True) as answer:
            connection = answer.raw._connection or answer.raw._original_response
            if isinstance(getattr(connection, "sock", None), socket.socket):
                ports.add(connection.sock.getsockname()[1])
            assert answer.content is not None
    assert len(ports) == 1


def test_closing_cuts_whoever_is_connected(folder: Path) -> None:
    web = DemoStore(folder, auth=False)
    idle = socket.create_connection(("127.0.0.1", web.port))
    idle.settimeout(5)
    idle.sendall(b"GET /study/empty HTTP/1.1\r\nHost: x\r\n\r\n")
    assert idle.recv(1000).startswith(b"HTTP/1.1 200")
    web.close()
    assert idle.recv(1) == b""
    idle.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", web.port))


def test_many_clients_are_served_at_once(web: DemoStore) -> None:
    right = []

    def ask() -> None:
        url = f"{web.url}/study/v_dicom.tar"
        with requests.Session() as own:
            right.extend(own.get(url).content == CONTENT for _ in range(10))

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 100
    assert web.count("GET", "/study/v_dicom.tar", 200) == 100


def test_the_command_serves_a_store_until_it_is_ended(
    folder: Path, session: requests.Session
) -> None:
    """A range of a tarball, the page over all projects, a catalog; on SIGTERM it ends."""
    command = [sys.executable, "-m", "icfqueue", "serve", "--port", "0"]
    command += ["--store-dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            url = line.split()[3]
            tarball = f"{url}study/v_dicom.tar"
            assert session.get(tarball).content == CONTENT
            part = session.get(tarball, headers={"Range": "bytes=5-9"})
            assert (part.status_code, part.content) == (206, CONTENT[5:10])
            assert session.head(tarball).headers["Content-Length"] == str(len(CONTENT))
            page = session.get(url)
            assert 'href="study/catalog/"' in page.text
            assert session.get(f"{url}study/catalog/").text == "<html>catalog</html>"
            assert session.get(f"{url}study/.icfqueue/secret").status_code == 404
        finally:
            process.terminate()
        assert process.wait(30) == 0


def test_datalad_clones_and_gets_by_what_the_page_shows(
    store: Store,
    make_job: Callable[..., Job],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a password file: the command that the page over all projects has, and images."""
    users = tmp_path / "users"
    users.write_text(f"me:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    settings = Settings(store_dir=store.root, settle=0)
    with serving(settings, "127.0.0.1", 0, users) as server:
        job = make_job("visit_1", store_url=server.url)
        datasets.put_visit(job, [("a.dcm", datasets.images(1)[0])])
        assert update_catalog.run(job).worked
        set_credential(
            monkeypatch,
            type="user_password",
            user="me",
            secret="secret",
            realm=f"{server.url}/{server.realm}",
        )
        page = requests.get(server.url, auth=("me", "secret"), timeout=20).text
        (shown,) = re.findall(r"<code>(.*?)</code>", page)
        for command in (html.unescape(shown), "datalad -C study_1 get visit_1/a.dcm"):
            done = subprocess.run(
                shlex.split(command),
                cwd=tmp_path,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        got = tmp_path / "study_1" / "visit_1" / "a.dcm"
        assert got.read_bytes() == datasets.images(1)[0]
        assert requests.get(server.url, timeout=20).status_code == 401
        catalog = f"{server.url}/study_1/catalog/"
        assert requests.get(catalog, auth=("me", "secret"), timeout=20).status_code == 200
