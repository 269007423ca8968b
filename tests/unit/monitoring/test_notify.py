"""Messages to a real HTTP server and to real programs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from icfqueue.core.errors import UsageError
from icfqueue.monitoring import notify
from icfqueue.monitoring.notify import Notifier


@dataclass
class Hook:
    """A server that takes messages.

    Attributes
    ----------
    answers
        Codes of the next answers; then 204.
    """

    url: str = ""
    got: list[tuple[str, str, bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)


@pytest.fixture
def hook() -> Iterator[Hook]:
    found = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.got.append((self.path, self.headers["Content-Type"], body))
            code = found.answers.pop(0) if found.answers else 204
            self.send_response(code)
            if code == 302:
                self.send_header("Location", found.url)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}/hook?token=geheim"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "AGAIN", 0.01)


MESSAGE = {"event": "project.drained", "project": "study_1", "counts": {"done": 2}}


def test_a_message_is_posted_as_json(hook: Hook) -> None:
    said: list[str] = []
    notifier = Notifier(hook.url, None, said.append)
    notifier.tell(MESSAGE)
    notifier.close()
    ((path, kind, body),) = hook.got
    assert (path, kind) == ("/hook?token=geheim", "application/json")
    assert json.loads(body) == MESSAGE
    assert said == []


def test_a_message_is_tried_twice_and_no_more(hook: Hook) -> None:
    """And what is said of it has neither path nor secret; once, for many messages."""
    hook.answers = [500, 204]
    said: list[str] = []
    notifier = Notifier(hook.url, None, said.append)
    notifier.tell(MESSAGE)
    notifier.close()
    assert (len(hook.got), said) == (2, [])
    hook.answers = [500] * 4
    notifier = Notifier(hook.url, None, said.append)
    notifier.tell(MESSAGE)
    notifier.tell(MESSAGE)
    notifier.close()
    assert len(hook.got) == 6
    assert said == ["icfqueue: a message could not be sent to 127.0.0.1: it answered 500"]


def test_no_message_goes_to_where_a_server_points(hook: Hook) -> None:
    hook.answers = [302, 302]
    said: list[str] = []
    notifier = Notifier(hook.url, None, said.append)
    notifier.tell(MESSAGE)
    notifier.close()
    assert len(hook.got) == 2
    assert "302" in said[0]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://me:geheim@127.0.0.1:9/geheim", "to 127.0.0.1: it refuses the connection"),
        (
            "http://no.such.host.invalid/geheim",
            "to no.such.host.invalid: no such host is known",
        ),
    ],
)
def test_a_server_that_cannot_be_reached_is_told_of_in_words_without_its_address(
    url: str, words: str
) -> None:
    said: list[str] = []
    notifier = Notifier(url, None, said.append)
    notifier.tell(MESSAGE)
    notifier.close()
    (line,) = said
    assert line.endswith(words)
    assert "geheim" not in line


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (requests.exceptions.SSLError("geheim"), "is its certificate in order?"),
        (requests.ReadTimeout("geheim"), "did not answer in time"),
        (requests.ConnectTimeout("geheim"), "did not answer in time"),
        (ConnectionResetError("geheim"), "was not made, or broke"),
        (requests.exceptions.InvalidURL("geheim"), "cannot be used"),
    ],
)
def test_what_went_wrong_is_told_in_words(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of which is the name of a class of Python's, or the address."""

    def post(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("requests.post", post)
    said: list[str] = []
    notifier = Notifier("http://127.0.0.1/geheim", None, said.append)
    notifier.tell(MESSAGE)
    notifier.close()
    (line,) = said
    assert line.endswith(words)
    assert "geheim" not in line
    assert type(error).__name__ not in line


def test_whoever_tells_never_waits(
    hook: Hook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of messages that nobody takes the newest are dropped."""
    monkeypatch.setattr(notify, "WAITING", 2)
    monkeypatch.setattr(notify, "LAST_WORD", 0.2)
    go = tmp_path / "go"
    command = f"sh -c 'while [ ! -e {go} ]; do sleep 0.05; done'"
    said: list[str] = []
    notifier = Notifier(None, command, said.append)
    for _ in range(5):
        notifier.tell(MESSAGE)
    notifier.close()
    go.touch()
    assert said == ["icfqueue: 2 messages wait to be sent; one is dropped"]
    assert hook.got == []


def test_a_program_reads_a_message_and_no_shell_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it get a secret with its environment."""
    monkeypatch.setenv("ICFQUEUE_BROKER_PASSWORD", "geheim")
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "read it"
    script.write_text('#!/bin/sh\ncat > got; env > env; echo "$1" > word\n')
    script.chmod(0o755)
    notifier = Notifier(None, f"'{script}' '$(touch hacked); x'", print)
    notifier.tell({"event": "x", "project": "$(touch hacked)"})
    notifier.close()
    assert json.loads((tmp_path / "got").read_text())["project"] == "$(touch hacked)"
    assert (tmp_path / "word").read_text() == "$(touch hacked); x\n"
    assert "geheim" not in (tmp_path / "env").read_text()
    assert not (tmp_path / "hacked").exists()


def test_a_program_that_fails_or_hangs_is_told_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    notifier = Notifier(None, "sh -c 'echo broken >&2; exit 3'", said.append)
    notifier.tell(MESSAGE)
    notifier.close()
    assert said[0].endswith("sh ended with 3: broken")
    monkeypatch.setattr(notify, "RUNS", 0.1)
    notifier = Notifier(None, "sleep 60", said.append)
    notifier.tell(MESSAGE)
    notifier.close()
    assert "sleep did not end within" in said[1]


@pytest.mark.parametrize(
    ("url", "command", "words"),
    [
        ("hooks.example.org", None, "--notify"),
        ("file:///etc/passwd", None, "--notify"),
        ("http://host:port/", None, "--notify"),
        (None, "no-such-program", "no program no-such-program"),
        (None, "unfinished '", "--exec"),
        (None, " ", "--exec"),
    ],
)
def test_what_cannot_be_used_is_said_at_once(
    url: str | None, command: str | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        Notifier(url, command, print)
