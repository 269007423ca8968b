"""What lay in a queue and is no message of ours: put aside, for ``icfqueue doctor``.

A list in the broker, newest first, that holds no more than :data:`KEPT` notes: when,
from which queue, why, how large it was, and its first bytes. Nothing of it is acted on,
and what is written by others into the list itself is checked when it is read.
"""

from __future__ import annotations

import logging
import time
from typing import Annotated, Any

import msgspec
import redis
from msgspec import Meta

from icfqueue.ledger.keys import key

log = logging.getLogger(__name__)

KEPT = 100
"""Notes that are kept; the count goes on."""

FIRST = 60
"""Bytes of a message that its note shows, with escapes for all but plain characters."""

SILENCE = 60.0
"""Seconds between two lines in the log about the same queue and reason."""

_LIST = key("aside")
_COUNT = key("aside", "count")

Text = Annotated[str, Meta(max_length=1000)]


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was put aside.

    Attributes
    ----------
    when
        Seconds since 1970.
    size
        Bytes.
    first
        Its first bytes, in plain characters.
    """

    when: Annotated[float, Meta(ge=0, le=1e11)]
    queue: Text
    why: Text
    size: Annotated[int, Meta(ge=0)]
    first: Text


_decoder = msgspec.json.Decoder(Note)


class Aside:
    """Puts things aside; a worker's main process has one."""

    def __init__(self) -> None:
        self._silent_until: dict[tuple[str, str], float] = {}
        self._unsaid = 0

    def put(self, client: Any, queue: str, raw: bytes, why: str) -> None:
        """Note `raw`, that was taken off `queue`; never raises.

        Parameters
        ----------
        client
            A connection to the broker.
        """
        self._say(queue, len(raw), why)
        note = Note(when=time.time(), queue=queue, why=why, size=len(raw), first=plain(raw))
        try:
            pipe = client.pipeline(transaction=False)
            pipe.lpush(_LIST, msgspec.json.encode(note))
            pipe.ltrim(_LIST, 0, KEPT - 1)
            pipe.incr(_COUNT)
            pipe.execute()
        except redis.ResponseError:
            # Somebody else's key of that name: it goes, for nothing of ours is in it.
            _drop(client)
        except (redis.RedisError, OSError):
            log.debug("not noted: broker away")

    def _say(self, queue: str, size: int, why: str) -> None:
        now = time.monotonic()
        if now < self._silent_until.get((queue, why), 0.0):
            self._unsaid += 1
            return
        more = f" (and {self._unsaid} others)" if self._unsaid else ""
        log.warning(
            "message.aside queue=%s size=%d: %s%s; see 'icfqueue doctor'",
            queue,
            size,
            why,
            more,
            extra={"action": "message.aside"},
        )
        self._unsaid = 0
        if len(self._silent_until) > KEPT:
            self._silent_until.clear()
        self._silent_until[queue, why] = now + SILENCE


def notes(client: Any) -> tuple[int, list[Note]]:
    """Return how many things were ever put aside, and the notes that were kept.

    Raises
    ------
    redis.RedisError
        The broker cannot be asked.
    """
    try:
        found = client.lrange(_LIST, 0, KEPT - 1)
        count = client.get(_COUNT)
    except redis.ResponseError as error:
        if "WRONGTYPE" not in str(error):
            raise
        return 0, []
    kept = []
    for text in found:
        try:
            note = _decoder.decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        # Others may have written it.
        kept.append(
            msgspec.structs.replace(
                note, **{name: _printable(getattr(note, name)) for name in _TEXTS}
            )
        )
    digits = str(count or 0)
    return max(len(kept), int(digits) if digits.isdecimal() else 0), kept


def plain(raw: bytes) -> str:
    """Return the beginning of `raw` in characters that no terminal acts on."""
    return ascii(bytes(raw[:FIRST]).decode("latin-1"))[1:-1]


_TEXTS = ("queue", "why", "first")


def _printable(text: str) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in text[:300])


def _drop(client: Any) -> None:
    try:
        client.delete(_LIST, _COUNT)
    except (redis.RedisError, OSError):
        log.debug("not removed: broker away or not allowed")
