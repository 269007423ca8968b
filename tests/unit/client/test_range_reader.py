"""Parts of files by HTTP Range: exactly the part is taken, all else is refused."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.raw_server import RawServer

from icfqueue.client.range_reader import NotByRangeError, Part, RangeReader

IMAGE = b"image" * 100
TOTAL = 9_000
PART = Part("", 512, len(IMAGE), TOTAL, hashlib.md5(IMAGE).hexdigest())


def head(status: str = "206 Partial Content", **fields: object) -> bytes:
    usual: dict[str, object] = {
        "Content-Range": f"bytes 512-{511 + len(IMAGE)}/{TOTAL}",
        "Content-Length": len(IMAGE),
        "ETag": '"one"',
        "Connection": "close",
    }
    given = usual | {name.replace("_", "-"): value for name, value in fields.items()}
    lines = [f"{name}: {value}" for name, value in given.items() if value is not None]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def read(answers: list[bytes], target: Path, times: int = 1) -> list[str]:
    """Read the part from a server that sends these bytes; return the requests."""
    waiting = iter(answers)

    def answer(_: str) -> Iterator[bytes]:
        yield next(waiting)

    with RawServer(answer) as web:
        reader = RangeReader()
        try:
            for _ in range(times):
                reader.read(replace(PART, url=f"{web.url}/p/v.tar"), target, lambda _: None)
        finally:
            reader.close()
        return web.heads


def test_the_part_and_nothing_else_is_asked_for_and_written(tmp_path: Path) -> None:
    heads = read([head() + IMAGE], tmp_path / "image")
    assert (tmp_path / "image").read_bytes() == IMAGE
    (asked,) = heads
    assert f"range: bytes=512-{511 + len(IMAGE)}\r\n" in f"{asked}\r\n".lower()
    assert "accept-encoding: identity" in asked.lower()
    assert "authorization" not in asked.lower()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (head("200 OK") + IMAGE, "answers 200, not 206"),
        (head("404 Not Found", Content_Length=0), "answers 404"),
        (head("416 Range Not Satisfiable", Content_Length=0), "answers 416"),
        (head("503 Busy", Content_Length=0), "answers 503"),
        (head(Content_Range=None) + IMAGE, "does not say which part"),
        (head(Content_Range="bytes 512-1011/*") + IMAGE, "does not say which part"),
        (head(Content_Range="bytes 512-1011/9001") + IMAGE, "9001 bytes, not 9000"),
        (head(Content_Range="bytes 0-499/9000") + IMAGE, "another part"),
        (head(Content_Encoding="gzip") + IMAGE, "another coding"),
        (head() + bytes(len(IMAGE)), "not those of the image"),
        (head() + IMAGE[:-1], "connection broke"),
        (head(Content_Length=None) + IMAGE[:-1], "499 bytes arrived, not 500"),
        (head(Content_Length=None) + IMAGE + b"x", "501 bytes arrived, not 500"),
        (b"", "cannot be reached"),
        (b"SSH-2.0\r\n", "cannot be reached"),
    ],
)
def test_what_is_not_the_part_is_refused_and_it_is_said_why(
    tmp_path: Path, answer: bytes, words: str
) -> None:
    with pytest.raises(NotByRangeError, match=words) as caught:
        read([answer], tmp_path / "image")
    assert "127.0.0.1" not in str(caught.value), "an address may hold a password"


def test_a_file_that_is_replaced_between_two_parts_is_noticed(tmp_path: Path) -> None:
    second = head(ETag='"two"') + IMAGE
    with pytest.raises(NotByRangeError, match="another ETag"):
        read([head() + IMAGE, second], tmp_path / "image", times=2)


def test_with_nobody_there_it_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    part = replace(PART, url=f"http://127.0.0.1:{port}/p/v.tar")
    with pytest.raises(NotByRangeError, match="cannot be reached"):
        RangeReader().read(part, tmp_path / "image", lambda _: None)


def test_a_file_that_cannot_be_written_is_another_matter(tmp_path: Path) -> None:
    """Not a reason to download the tarball, which could not be written either."""
    with pytest.raises(FileNotFoundError):
        read([head() + IMAGE], tmp_path / "missing" / "image")


def test_a_password_of_netrc_is_not_sent_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password s3cret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    (asked,) = read([head() + IMAGE], tmp_path / "image")
    assert "authorization" not in asked.lower()
