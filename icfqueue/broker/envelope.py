"""One message as it lies in a queue: read strictly, and made anew before Celery sees it.

Who may write to the broker can write anything: no JSON, an ETA in 2031, a body that
unpacks to 600 MB, a time limit of a microsecond, a callback, the id of another task. So
of what is read only this is used: task, project, visit, generation, priority. Everything
else of a message to Celery is made here; what asks for more is refused with a reason.

The reasons name the place and what was expected there, never what was found.

Source: Celery's message protocol, version 2
(https://docs.celeryq.dev/en/stable/internals/protocol.html), and Kombu's envelope for
servers that know no properties (``kombu.transport.virtual``).
"""

from __future__ import annotations

import base64
import secrets
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from icfqueue.broker.celery_app import TASK_PREFIX
from icfqueue.core import steps
from icfqueue.core.errors import IcfqueueError
from icfqueue.core.priority import LEVELS
from icfqueue.core.visit import Visit

LARGEST = 1 << 16
"""Bytes of a message; ours have about 1,000."""

Short = Annotated[str, Meta(max_length=1000)]
Level = Annotated[int, Meta(ge=LEVELS[0], le=LEVELS[-1])]
Generation = Annotated[int, Meta(ge=0, lt=1 << 53)]
Arguments = tuple[Short, Short, Generation]


class _Headers(msgspec.Struct):
    task: Short
    id: Short
    eta: None = None
    expires: None = None
    compression: None = None
    timelimit: tuple[None, None] | None = None
    retries: Annotated[int, Meta(ge=0, le=0)] | None = None


class _Properties(msgspec.Struct):
    priority: Level
    body_encoding: str
    reply_to: str | None = None


class _Envelope(msgspec.Struct):
    body: str
    headers: _Headers
    properties: _Properties
    content_type: str = msgspec.field(name="content-type")
    content_encoding: str = msgspec.field(name="content-encoding")


class _Embedded(msgspec.Struct, forbid_unknown_fields=True):
    callbacks: None = None
    errbacks: None = None
    chain: None = None
    chord: None = None


_Body = tuple[Arguments, dict[str, None], _Embedded]

_envelope = msgspec.json.Decoder(_Envelope)
_body = msgspec.json.Decoder(_Body)


class Unreadable(Exception):
    """A message that is none of ours; the reason holds nothing of it."""


def read(raw: bytes, queue: str) -> bytes:
    """Return the message `raw` of `queue` as Celery is to see it.

    Raises
    ------
    Unreadable
        It is none of ours.
    """
    return msgspec.json.encode(_anew(*_checked(raw, queue), queue))


def subject(raw: bytes, queue: str) -> str:
    """Return ``project/visit`` of the message `raw` of `queue`.

    Raises
    ------
    Unreadable
        It is none of ours.
    """
    _, (project, visit, _) = _checked(raw, queue)
    return f"{project}/{visit}"


def _checked(raw: bytes, queue: str) -> tuple[_Envelope, Arguments]:
    if len(raw) > LARGEST:
        raise Unreadable(f"larger than {LARGEST} bytes")
    try:
        found = _envelope.decode(raw)
        _check_encoding(found)
        args, more, _ = _body.decode(base64.b64decode(found.body, validate=True))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(_reason(error)) from None
    except ValueError:
        raise Unreadable("its body is no base64") from None
    if more:
        raise Unreadable("its task has arguments by name")
    _check_task(found.headers.task, args, queue)
    return found, args


def _check_encoding(found: _Envelope) -> None:
    kind = (found.content_type, found.content_encoding, found.properties.body_encoding)
    if kind != ("application/json", "utf-8", "base64"):
        raise Unreadable("its body is no JSON in UTF-8 and base64")


def _check_task(task: str, args: Arguments, queue: str) -> None:
    name = task.removeprefix(TASK_PREFIX)
    if name not in steps.NAMES or name == task:
        raise Unreadable("its task is none of ours")
    if steps.step(name).queue != queue:
        raise Unreadable(f"its task does not belong into the queue {queue}")
    try:
        Visit(args[0], args[1])
    except IcfqueueError:
        raise Unreadable("it names no project or visit") from None


def _anew(found: _Envelope, args: Arguments, queue: str) -> dict[str, Any]:
    """Return a message of the same meaning, with nothing in it that we did not make."""
    task = found.headers.task
    project, visit, generation = args
    word = f"{project}/{visit}/{task.removeprefix(TASK_PREFIX)}/{generation}"
    # The last part tells messages about the same from each other, in Celery's tools.
    given = found.headers.id
    ours = given.startswith(f"{word}/") and given.isascii() and given.isprintable()
    name = given if ours else f"{word}/{secrets.token_hex(3)}"
    body = msgspec.json.encode([args, {}, dict.fromkeys(_Embedded.__struct_fields__)])
    return {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": task,
            "id": name,
            "root_id": name,
            "parent_id": None,
            "group": None,
            "retries": 0,
            "timelimit": [None, None],
            "eta": None,
            "expires": None,
            "argsrepr": repr(list(args)),
            "kwargsrepr": "{}",
            "origin": "",
            "ignore_result": False,
        },
        "properties": {
            "correlation_id": name,
            "reply_to": None,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": found.properties.priority,
            "body_encoding": "base64",
            "delivery_tag": secrets.token_hex(16),
        },
    }


def _reason(error: Exception) -> str:
    """Return why a message cannot be read: place and expectation, nothing that it holds."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, msgspec.ValidationError):
        # "Expected `str`, got `int` - at `$.headers.id`": places are those of our types.
        return str(error).replace("`", "")
    return "it is no JSON"
