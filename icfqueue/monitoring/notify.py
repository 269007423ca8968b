"""Messages to whoever wants to know: a JSON text to a URL, or to a program.

Sent in a thread of its own, one after another, so that nobody waits for a server that does
not answer. A message is tried twice; what cannot be delivered is told of, without the
address, which may hold a secret, and is not tried again.
"""

from __future__ import annotations

import json
import os
import queue
import shlex
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from icfqueue.core.errors import UsageError
from icfqueue.core.plain_text import shown
from icfqueue.core.processes.groups import end_group, without_secrets

CONNECT, ANSWER = 5.0, 10.0
"""Seconds that a server has to take a connection, and to answer."""

RUNS = 60.0
"""Seconds that a program has for a message."""

AGAIN = 3.0
"""Seconds after which a message is tried for the second and last time."""

WAITING = 100
"""Messages that may wait to be sent; of more the newest are dropped."""

LAST_WORD = 30.0
"""Seconds that the messages that are left have at the end."""

SILENCE = 60.0
"""Seconds between two words about messages that could not be sent."""

MOST_WRAPPED = 8
"""Errors within one another that are looked at."""

_TAKEN = range(200, 300)
"""Answers by which a server has taken a message (RFC 9110, section 15.3)."""

Message = Mapping[str, Any]


class Notifier:
    """Sends messages; a context manager that waits at its end for what is left.

    Parameters
    ----------
    url
        Gets each message by HTTP POST (RFC 9110, section 9.3.3) as ``application/json``.
    command
        A program and its arguments, as in a shell but run by none; reads each message
        from its standard input.
    say
        Tells a person what could not be sent.

    Raises
    ------
    UsageError
        The URL or the command cannot be used.
    """

    def __init__(
        self, url: str | None, command: str | None, say: Callable[[str], object]
    ) -> None:
        self._url = _checked(url) if url else ""
        self._host = urlsplit(self._url).hostname or ""
        self._words = _program(command) if command else []
        self._say = say
        self._silent_until = 0.0
        self._left: queue.Queue[Message | None] = queue.Queue(WAITING)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notify", daemon=True)
        self._thread.start()

    def tell(self, message: Message) -> None:
        """Have a message sent; does not wait."""
        try:
            self._left.put_nowait(message)
        except queue.Full:
            self._complain(f"{WAITING} messages wait to be sent; one is dropped")

    def close(self) -> None:
        """Wait for what is left to be sent, but not for long."""
        self._ending.set()
        end = time.monotonic() + LAST_WORD
        try:
            self._left.put(None, timeout=LAST_WORD)
        except queue.Full:
            return
        self._thread.join(timeout=max(0.0, end - time.monotonic()))

    def _run(self) -> None:
        while (message := self._left.get()) is not None:
            text = json.dumps(message)
            if self._url:
                self._post(text)
            if self._words:
                self._execute(text)

    def _post(self, text: str) -> None:
        wrong = self._posted(text)
        if wrong:
            # At the end nobody waits longer than for one try.
            if not self._ending.is_set():
                time.sleep(AGAIN)
            wrong = self._posted(text)
        if wrong:
            self._complain(f"a message could not be sent to {self._host}: {wrong}")

    def _posted(self, text: str) -> str:
        """Send a message; return what went wrong, without the address."""
        import requests

        try:
            with requests.post(
                self._url,
                data=text.encode(),
                headers={"Content-Type": "application/json"},
                timeout=(CONNECT, ANSWER),
                # To another address than the one that was named nothing is sent.
                allow_redirects=False,
                # The answer is of no interest, and may be without end.
                stream=True,
            ) as answer:
                code = answer.status_code
        except (requests.RequestException, OSError, ValueError) as error:
            return _words(error)
        return "" if code in _TAKEN else f"it answered {code}"

    def _execute(self, text: str) -> None:
        """Have the program read a message; no shell is asked what its words mean."""
        name = shown(self._words[0])
        try:
            process = subprocess.Popen(
                self._words,
                env=without_secrets(os.environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            self._complain(f"{name} cannot be run: {error.strerror}")
            return
        with process:
            try:
                _, said = process.communicate(f"{text}\n".encode(), timeout=RUNS)
            except subprocess.TimeoutExpired:
                end_group(process)
                self._complain(f"{name} did not end within {RUNS:.0f} s")
                return
        if process.returncode:
            last = said.decode("utf-8", "replace").strip().rpartition("\n")[2]
            self._complain(f"{name} ended with {process.returncode}: {shown(last)}")

    def _complain(self, words: str) -> None:
        """Say what went wrong, but not again and again."""
        now = time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + SILENCE
            self._say(f"icfqueue: {words}")


def _words(error: Exception) -> str:
    """Return why no answer came, in words without the address."""
    import requests

    if isinstance(error, requests.exceptions.SSLError):
        return "the secure connection was not made: is its certificate in order?"
    if isinstance(error, requests.Timeout):
        return "it did not answer in time"
    for one in _chain(error):
        if isinstance(one, socket.gaierror):
            return "no such host is known"
        if isinstance(one, ConnectionRefusedError):
            return "it refuses the connection"
    if isinstance(error, ValueError):
        return "the address cannot be used"
    return "the connection was not made, or broke"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it wraps, whichever way, the outermost first."""
    one: BaseException | None = error
    for _ in range(MOST_WRAPPED):
        if one is None:
            return
        yield one
        inner = (*one.args, getattr(one, "reason", None), one.__cause__)
        one = next((each for each in inner if isinstance(each, BaseException)), None)


def _checked(url: str) -> str:
    """Return `url` if a message can be sent there."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(
            "--notify, or the setting notify: that is no address",
            hint="for example --notify https://hooks.example.org/icfqueue",
        )
    return url


def _program(command: str) -> list[str]:
    """Return the words of `command`, the program by its path."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"--exec: {error}") from None
    found = shutil.which(words[0]) if words else None
    if found is None:
        raise UsageError(
            f"--exec: there is no program {shown(words[0]) if words else 'named'}",
            hint="it is run without a shell; for one: --exec 'sh -c \"…\"'",
        )
    return [found, *words[1:]]
