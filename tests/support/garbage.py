"""What a stranger who may write to the broker could put into a queue."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any


def message(**more: Any) -> dict[str, Any]:
    """Return a message as icfqueue sends it, of a visit that is not known.

    Parameters
    ----------
    more
        What is to be different: ``headers``, ``properties`` and ``body`` are merged.
    """
    args: Any = more.pop("args", ["study_1", "stranger", 1])
    kwargs: Any = more.pop("kwargs", {})
    embed: Any = more.pop("embed", {})
    task = more.pop("task", "icfqueue.fetch")
    body = json.dumps(
        [
            args,
            kwargs,
            {"callbacks": None, "errbacks": None, "chain": None, "chord": None, **embed},
        ]
    )
    headers = {
        "lang": "py",
        "task": task,
        "id": "study_1/stranger/fetch/1/abc",
        "shadow": None,
        "eta": None,
        "expires": None,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": "x",
        "argsrepr": "()",
        "kwargsrepr": "{}",
        **more.pop("headers", {}),
    }
    properties = {
        "correlation_id": "x",
        "reply_to": "y",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": "fetch"},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": "z",
        **more.pop("properties", {}),
    }
    return {
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties,
        **more,
    }


def raw(**more: Any) -> bytes:
    """Return the bytes of :func:`message`."""
    return json.dumps(message(**more)).encode()


def without(*names: str) -> bytes:
    """Return a message that lacks something: ``headers``, or ``headers`` ``task``."""
    found = message()
    place = found
    for name in names[:-1]:
        place = place[name]
    del place[names[-1]]
    return json.dumps(found).encode()


def bomb(megabytes: int) -> bytes:
    """Return a message whose body unpacks to `megabytes`."""
    packed = zlib.compressobj(9)
    block = bytes(1 << 20)
    body = b"".join(packed.compress(block) for _ in range(megabytes)) + packed.flush()
    return raw(
        body=base64.b64encode(body).decode(),
        headers={"compression": "application/x-gzip"},
    )


def garbage() -> dict[str, bytes]:
    """Return name and bytes of everything."""
    signature = {"task": "icfqueue.cleanup", "args": [], "kwargs": {}, "options": {}}
    return {
        "empty": b"",
        "no JSON": b"hello",
        "half of it": raw()[:200],
        "binary": bytes(range(256)),
        "escape sequences": b"\x1b]0;pwned\x07\x1b[2J",
        "a number": b"17",
        "null": b"null",
        "a list": b"[]",
        "a list of itself": b"[[[[[[]]]]]]",
        "no object": b'"text"',
        "an empty object": b"{}",
        "deep lists": b"[" * 60_000,
        "deep objects": b'{"a":' * 10_000,
        "deep in a header": raw(headers={"x": 1}).replace(
            b'"x": 1', b'"x": ' + b"[" * 20_000 + b"]" * 20_000
        ),
        "large": raw(headers={"x": "a" * 100_000}),
        "a bomb": bomb(600),
        "a small bomb": bomb(30),
        "a long number": raw(args=["study_1", "v", 10**400]),
        **{
            f"without {' '.join(path)}": without(*path)
            for path in (
                ("headers",),
                ("properties",),
                ("body",),
                ("content-type",),
                ("content-encoding",),
                ("headers", "task"),
                ("headers", "id"),
                ("properties", "priority"),
                ("properties", "body_encoding"),
            )
        },
        "headers of a wrong type": raw().replace(b'"headers": {', b'"headers": [{', 1),
        "headers null": json.dumps({**message(), "headers": None}).encode(),
        "properties a list": json.dumps({**message(), "properties": []}).encode(),
        "a task that is none": raw(task="os.system"),
        "a task of no step": raw(task="icfqueue.nothing"),
        "a task of Celery": raw(task="celery.backend_cleanup"),
        "a task of another queue": raw(task="icfqueue.export_repo"),
        "a task that is a list": raw(task=["icfqueue.fetch"]),
        "an ETA in 2031": raw(headers={"eta": "2031-01-01T00:00:00+00:00"}),
        "an ETA that is none": raw(headers={"eta": [1]}),
        "an expiry": raw(headers={"expires": "2001-01-01T00:00:00+00:00"}),
        "a time limit": raw(headers={"timelimit": [0.0001, 0.0001]}),
        "a time limit that is none": raw(headers={"timelimit": "soon"}),
        "retries": raw(headers={"retries": 10**6}),
        "a callback": raw(embed={"callbacks": [signature]}),
        "an errback": raw(embed={"errbacks": [signature]}),
        "a chain": raw(embed={"chain": [signature]}),
        "a chord": raw(embed={"chord": signature}),
        "a stranger in the embedding": raw(embed={"more": 1}),
        "a pickle": raw(**{"content-type": "application/x-python-serialize"}),
        "YAML": raw(**{"content-type": "application/x-yaml"}),
        "plain text": raw(**{"content-type": "text/plain"}),
        "a content type that is none": raw(**{"content-type": 5}),
        "an encoding that is none": raw(**{"content-encoding": "klingon"}),
        "a body that is no base64": raw(body="***"),
        "a body that is a list": raw(body=["a"]),
        "a body in no encoding": raw(properties={"body_encoding": "rot13"}),
        "a body that is no JSON": raw(body=base64.b64encode(b"\xff\xfe").decode()),
        "no arguments": raw(args=[]),
        "too many arguments": raw(args=["a", "b", 1, 2]),
        "arguments by name": raw(args=[], kwargs={"project": "a"}),
        "an argument by name": raw(kwargs={"lock": None}),
        "arguments of wrong types": raw(args=[1, 2, "3"]),
        "a generation below none": raw(args=["study_1", "v", -1]),
        "a generation that is true": raw(args=["study_1", "v", True]),
        "a generation with a fraction": raw(args=["study_1", "v", 1.5]),
        "a way out": raw(args=["..", "../../etc/passwd", 1]),
        "an absolute path": raw(args=["/etc", "passwd", 1]),
        "a NUL": raw(args=["study_1", "a\0b", 1]),
        "a priority that is none": raw(properties={"priority": "urgent"}),
        "a priority out of range": raw(properties={"priority": 99}),
        "not a number": raw().replace(b'"priority": 0', b'"priority": NaN'),
        "surrogates": raw(args=["study_1", "\ud800", 1]),
        "protocol 1": json.dumps(
            {
                **message(),
                "headers": {},
                "body": base64.b64encode(
                    b'{"task": "icfqueue.fetch", "id": "x", "args": ["a", "b", 1]}'
                ).decode(),
            }
        ).encode(),
    }
