"""Answers that never end, burst, lead elsewhere or hold control characters."""

from __future__ import annotations

import gzip
import ssl
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.raw_server import RawServer, head
from support.valkey import certificate

from icfqueue.core.errors import (
    IcfqueueError,
    NetworkTrouble,
    NotInStore,
    PermanentError,
    StepError,
    Unreachable,
)
from icfqueue.core.visit import Visit
from icfqueue.remote.client import RemoteStore

VISIT = Visit("study_1", "v")
QUICK = 0.3
"""Seconds between two bytes that a store may take here."""

PAUSE = 0.05
"""Seconds between two bytes of a store that trickles: less than it may take."""

PAGE = {"Content_Type": "text/html"}


def hasty(web: RawServer, **how: Any) -> RemoteStore:
    quick = {"connect_timeout": QUICK, "read_timeout": QUICK, "least_rate": 2000.0}
    return RemoteStore(web.url, **quick | how)


class Trickling:
    """Answers with `content`, then byte by byte with nothing of use, until it is over."""

    def __init__(self, content: Callable[[], Iterator[bytes]]) -> None:
        self.content = content
        self.servers: list[RawServer] = []

    def __call__(self, _: str) -> Iterator[bytes]:
        yield from self.content()
        while not self.servers[0].over.wait(PAUSE):
            yield b"x"


def download(remote: RemoteStore) -> None:
    with remote.open(VISIT.storepath) as found:
        while found.read(1 << 16):
            pass


ASK: dict[str, Callable[[RemoteStore], object]] = {
    "head": lambda remote: remote.head(VISIT.storepath),
    "md5sum": lambda remote: remote.md5sum(VISIT),
    "listing": lambda remote: remote.visits(VISIT.project),
    "download": download,
}

TRICKLES: dict[str, Callable[[], Iterator[bytes]]] = {
    "status line": lambda: iter([b"HTTP/1.1 2"]),
    "header": lambda: iter([b"HTTP/1.1 200 OK\r\nX: "]),
    "redirect": lambda: iter([head("302 Found", Location="/elsewhere")]),
    "challenge": lambda: iter(
        [head("401 Unauthorized", WWW_Authenticate='Basic realm="x"', Content_Length="999")]
    ),
    "body": lambda: iter([head(Content_Type="text/html; charset=x")]),
    "chunk size": lambda: iter([head(Transfer_Encoding="chunked", **PAGE) + b"1;"]),
    "chunk size in spite of a length": lambda: iter(
        [head(Transfer_Encoding="chunked", Content_Length="5000", Content_Type="x") + b"1;"]
    ),
}


ENOUGH = {("head", where) for where in TRICKLES if where.startswith(("body", "chunk"))}
"""Where the head of an answer is all that was asked for."""


@pytest.mark.parametrize(
    ("what", "where"),
    [(what, where) for what in ASK for where in TRICKLES if (what, where) not in ENOUGH],
)
def test_a_store_that_sends_byte_after_byte_is_left(what: str, where: str) -> None:
    """Each byte comes in time, and none of these would ever end."""
    answer = Trickling(TRICKLES[where])
    with RawServer(answer) as web, hasty(web) as remote:
        answer.servers.append(web)
        with pytest.raises((StepError, Unreachable)) as caught:
            ASK[what](remote)
        assert getattr(caught.value, "slow", True)


def test_interim_answers_without_end_are_left() -> None:
    def answer(_: str) -> Iterator[bytes]:
        while not web.over.wait(0.001):
            yield b"HTTP/1.1 100 Continue\r\n\r\n"

    with RawServer(answer) as web, hasty(web) as remote:
        with pytest.raises(NetworkTrouble, match="did not answer in time") as caught:
            remote.head(VISIT.storepath)
        assert caught.value.slow


def test_a_tarball_that_trickles_is_left_and_the_rate_is_named() -> None:
    answer = Trickling(lambda: iter([head(Content_Length="100000")]))
    with RawServer(answer) as web, hasty(web) as remote:
        answer.servers.append(web)
        with pytest.raises(NetworkTrouble, match="fewer than 2000 a second") as caught:
            download(remote)
        assert caught.value.slow
        assert "least_rate" in caught.value.hint


def test_a_slow_line_that_brings_the_least_rate_is_waited_for() -> None:
    """However long it takes in all: the deadline grows with the size."""

    def answer(_: str) -> Iterator[bytes]:
        yield head(Content_Length="4500")
        for _ in range(45):
            web.over.wait(PAUSE)
            yield b"x" * 100

    with RawServer(answer) as web, hasty(web, read_timeout=2.0, least_rate=100.0) as remote:
        download(remote)


def test_a_listing_has_an_end_even_if_it_comes_fast_enough() -> None:
    def answer(_: str) -> Iterator[bytes]:
        yield head(**PAGE)
        while not web.over.wait(0.001):
            yield b"<p>" * 1000

    with (
        RawServer(answer) as web,
        hasty(web, listing_time=QUICK, least_rate=1.0) as remote,
        pytest.raises(Unreachable, match="did not answer in time"),
    ):
        remote.visits(VISIT.project)


# What bursts


def bomb(begin: bytes, filling: bytes, megabytes: int) -> bytes:
    """Return a gzip of `megabytes` that begins with `begin`."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = filling * ((1 << 20) // len(filling))
    packed = [packer.compress(piece) for piece in (begin, *[block] * megabytes)]
    return b"".join((*packed, packer.flush()))


@pytest.mark.parametrize("what", ["listing", "md5sum", "redirect", "refusal"])
def test_what_bursts_when_it_is_unpacked_takes_little_memory(what: str) -> None:
    packed = bomb(b"<table>", b"<p>" if what == "listing" else b"\0", 64)
    how = {"Content_Encoding": "gzip", "Content_Length": str(len(packed)), **PAGE}
    status = {"redirect": "302 Found", "refusal": "403 Forbidden"}.get(what, "200 OK")
    if what == "redirect":
        how["Location"] = "http://127.0.0.1:1/x"

    def answer(_: str) -> Iterator[bytes]:
        yield head(status, **how)
        yield packed

    with RawServer(answer) as web, RemoteStore(web.url) as remote:
        remote.visits("warm") if what == "listing" else None
        tracemalloc.start()
        try:
            if what == "listing":
                assert remote.visits(VISIT.project) == []
            else:
                with pytest.raises(StepError):
                    remote.md5sum(VISIT)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 4 << 20


def test_a_page_beyond_all_bounds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icfqueue.remote.client.MAX_PAGE", 1 << 20)
    packed = bomb(b"<table>", b"<p>", 2)

    def answer(_: str) -> Iterator[bytes]:
        yield head(Content_Encoding="gzip", **PAGE)
        yield packed

    with (
        RawServer(answer) as web,
        RemoteStore(web.url) as remote,
        pytest.raises(PermanentError, match="has more than 1048576 bytes"),
    ):
        remote.visits(VISIT.project)


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "deflate"])
def test_a_listing_that_comes_packed_is_read_all_the_same(coding: str) -> None:
    page = b"<a href=v_dicom.tar>" * 20_000
    packed = zlib.compress(page) if coding == "deflate" else gzip.compress(page)

    def answer(_: str) -> Iterator[bytes]:
        yield head(Content_Encoding=coding, **PAGE)
        yield packed

    with RawServer(answer) as web, RemoteStore(web.url) as remote:
        assert remote.visits(VISIT.project) == [VISIT]


@pytest.mark.parametrize(
    ("coding", "body", "words"),
    [
        ("br", b"x", "packed as br"),
        ("gzip, gzip", b"x", "packed as gzip, gzip"),
        ("gzip", b"no gzip", "cannot be unpacked"),
        ("gzip", gzip.compress(b"<p>" * 99)[:-9], "broke off"),
    ],
    ids=["unknown", "twice", "broken", "cut"],
)
def test_a_packing_that_is_not_understood_is_said_so(
    coding: str, body: bytes, words: str
) -> None:
    def answer(_: str) -> Iterator[bytes]:
        yield head(Content_Encoding=coding, **PAGE)
        yield body

    with (
        RawServer(answer) as web,
        RemoteStore(web.url) as remote,
        pytest.raises((PermanentError, Unreachable), match=words),
    ):
        remote.visits(VISIT.project)


# What a terminal would obey

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m" + "\xe2\x80\xae"
"""Sets a title, clears the screen, in C1, and turns the direction of writing round."""


@pytest.mark.parametrize(
    "answer",
    [
        head(Content_Type=f"text/{EVIL}"),
        head(Content_Type="x" * 60_000),
        head("401 Unauthorized", WWW_Authenticate=f'Basic realm="{EVIL}"'),
        head("401 Unauthorized", WWW_Authenticate=f"{EVIL} x=1"),
        head(f"200 {EVIL}", Content_Type="x/y"),
        f"HTTP/{EVIL} 200\r\n\r\n".encode("latin-1"),
        f"{EVIL}\r\n\r\n".encode("latin-1"),
        head("302 Found", Location=f"http://{EVIL}/x"),
        head("302 Found", Location=f"{EVIL}://x"),
        head(Content_Encoding=EVIL, **PAGE),
        head(Content_Length=EVIL, Transfer_Encoding=EVIL, Content_Type="x/y"),
    ],
    ids=[
        "type",
        "long type",
        "realm",
        "scheme of log-in",
        "reason",
        "version",
        "status line",
        "redirect to host",
        "redirect to scheme",
        "packing",
        "length",
    ],
)
def test_no_header_puts_a_control_character_into_an_error(answer: bytes) -> None:
    with RawServer(lambda _: iter([answer])) as web, RemoteStore(web.url) as remote:
        for ask in (remote.md5sum, lambda visit: remote.visits(visit.project)):
            with pytest.raises(IcfqueueError) as caught:
                ask(VISIT)
            error = caught.value
            words = f"{error} {error.message} {error.hint} {error.args}"
            assert words.isprintable(), ascii(words)
            assert len(words) < 1500


# What leads elsewhere


@pytest.mark.parametrize("name", ["default", "machine"])
def test_no_password_of_netrc_goes_where_a_redirect_leads(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``requests`` adds it by itself; ``default`` fits any host."""
    machine = "default" if name == "default" else "machine localhost"
    (tmp_path / "netrc").write_text(f"{machine} login alice password s3cret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with RawServer(lambda _: iter([head(Content_Length="0")])) as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost")

        def answer(_: str) -> Iterator[bytes]:
            yield head("302 Found", Location=f"{elsewhere}/x", Content_Length="0")

        with RawServer(answer) as web, RemoteStore(web.url) as remote:
            assert remote.head(VISIT.storepath).size == 0
    assert other.heads
    assert "uthorization" not in other.heads[0]


# Certificates


@pytest.mark.parametrize(
    ("certified", "words", "hint"),
    [
        (("127.0.0.1", 2.0), "self-signed", "REQUESTS_CA_BUNDLE="),
        (("127.0.0.2", 2.0), "127.0.0.1", "store_url"),
        (("127.0.0.1", 0.5), "expired", "renewed"),
    ],
)
def test_a_certificate_that_does_not_verify_names_what_helps(
    certified: tuple[str, float],
    words: str,
    hint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And what the hint says does help; another name or an old one is never accepted."""
    chain, key = certificate(tmp_path, *certified)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(chain, key)
    unknown = hint.startswith("REQUESTS")
    with RawServer(lambda _: iter([head(Content_Length="5")]), tls) as web:
        if not unknown:
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(chain))
        with RemoteStore(web.url) as remote:
            with pytest.raises(NetworkTrouble, match=words) as caught:
                remote.head(VISIT.storepath)
            assert hint in caught.value.hint
            assert not caught.value.slow
        if unknown:
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(chain))
            with RemoteStore(web.url) as remote:
                assert remote.head(VISIT.storepath).size == 5


@pytest.mark.parametrize("ask", ["head", "download"])
@pytest.mark.parametrize(
    "length", [str(2**62), "9" * 30, "9" * 5000, "-1", "1_0", "0x10", "1.0", " "]
)
def test_a_length_that_is_none_is_refused_with_a_word(ask: str, length: str) -> None:
    """Neither is it noted, nor does a store have Python work at a number of any length."""

    def answer(_: str) -> Iterator[bytes]:
        yield head(Content_Length=length)

    with (
        RawServer(answer) as web,
        pytest.raises(PermanentError, match="without a usable Content-Length") as caught,
    ):
        ASK[ask](RemoteStore(web.url))
    assert len(caught.value.message) < 250


def test_a_refusal_of_any_length_is_a_refusal() -> None:
    def answer(_: str) -> Iterator[bytes]:
        yield head("404 Not Found", Content_Length="9" * 5000)

    with RawServer(answer) as web, pytest.raises(NotInStore):
        RemoteStore(web.url).head(VISIT.storepath)
