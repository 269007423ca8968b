"""What the broker holds under a name of ours and is not what we would have written.

Who may write to the broker may put anything there: a list in place of a sum, a word in
place of a number. Whoever reads a text reads it strictly, here; what means nothing is
dropped, told of in the log, and taken for absent. A key of another type, which a server
refuses to read or to write, is removed by :mod:`icfqueue.ledger.stored.mending`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import redis

log = logging.getLogger(__name__)

SILENCE = 60.0
"""Seconds between two lines in the log about the same key."""

_TRIES = 3
"""How often what was met is mended before it is told of: there may be more to meet."""

_MOST_NAMES = 1000
_LONGEST = 15
"""Digits of a number that is exact in Lua (below 2^53)."""

_SIGNS = (
    "SPOILT",
    "WRONGTYPE",
    "is not an integer",
    "is not a valid float",
    "would overflow",
    "would produce NaN",
)
"""What the server (``src/t_*.c`` of Valkey and Redis) and our scripts say of such a key."""


class Spoilt(redis.ResponseError):
    """A key holds what cannot be ours, as a server says of one with another type."""

    def __init__(self, name: str) -> None:
        super().__init__(f"SPOILT {name}")


def is_spoilt(error: BaseException) -> bool:
    """Tell whether `error` is the answer about a key that holds what cannot be ours."""
    said = str(error)
    return isinstance(error, redis.ResponseError) and any(sign in said for sign in _SIGNS)


def number(text: str) -> int | None:
    """Return the number that `text` is, 0 or above; None if it is none."""
    plain = text.isascii() and text.isdecimal() and len(text) <= _LONGEST
    return int(text) if plain else None


def amount(text: str) -> int | None:
    """Return the number that `text` is, which may be below 0; None if it is none."""
    found = number(text.removeprefix("-"))
    return -found if found is not None and text.startswith("-") else found


def amounts(text: str) -> tuple[int, int] | None:
    """Return the two numbers that `text` has; None if it is anything else."""
    first, _, last = text.partition(" ")
    found = number(first), number(last)
    return None if found[0] is None or found[1] is None else (found[0], found[1])


T = TypeVar("T")


def read(client: Any, name: str, meaning: Callable[[str], T | None]) -> T | None:
    """Return what the text at the key `name` means; None if it is not there.

    Parameters
    ----------
    meaning
        Returns None of a text that means nothing, which is then dropped.
    """
    try:
        found = client.get(name)
    except redis.ResponseError as error:
        if not is_spoilt(error):
            raise
        drop(client, name, "it is no text")
        return None
    if found is None:
        return None
    meant = meaning(str(found))
    if meant is None:
        drop(client, name, "it is not what icfqueue writes there")
    return meant


def drop(client: Any, name: str, why: str, field: str | None = None) -> None:
    """Remove a key, or a field of a hash, and say so; who may not write leaves it."""
    say(name, f"{why}; taken for absent")
    with suppress(redis.RedisError):
        if field is None:
            client.delete(name)
        else:
            client.hdel(name, field)


_silent_until: dict[str, float] = {}


def say(name: str, words: str) -> None:
    """Log what was wrong with the key `name`, not too often."""
    now = time.monotonic()
    if now < _silent_until.get(name, 0.0):
        return
    if len(_silent_until) > _MOST_NAMES:
        _silent_until.clear()
    _silent_until[name] = now + SILENCE
    log.warning("key.spoilt %s: %s", name, words, extra={"action": "key.spoilt"})


class Mending(Protocol):
    """Whoever can have its keys mended."""

    def mend(self) -> None:
        """Remove what is not ours, and make anew what it took the place of."""


S = TypeVar("S", bound=Mending)
P = ParamSpec("P")
R = TypeVar("R")


def mended(
    method: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], R]:
    """Have `method` tried again when it met a spoilt key, once that was mended.

    A script or a command that meets one has changed nothing yet, or what does no harm to
    be done twice.
    """

    @wraps(method)
    def tried(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        for _ in range(_TRIES):
            try:
                return method(self, *args, **kwargs)
            except redis.ResponseError as error:
                if not is_spoilt(error):
                    raise
                try:
                    self.mend()
                except redis.RedisError as other:
                    # Who may only read mends nothing; what was met is what there is to say.
                    raise error from other
        return method(self, *args, **kwargs)

    return tried
