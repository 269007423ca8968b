"""``…_metadata_references.json``: where each image is, for readers without DataLad.

It is the reference format, version 1, of kerchunk and fsspec: for each path the address
of a file, the first byte in it, and the number of bytes::

    {"version": 1, "refs": {"<path>": ["<URL of the tarball>", <start>, <length>], …}}

Sources: https://fsspec.github.io/kerchunk/spec.html, ``fsspec.implementations.reference``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple


class Place(NamedTuple):
    """An image in a tarball: its path, MD5 (hex), first byte, and number of bytes."""

    path: str
    md5: str
    start: int
    length: int


def dump(url: str, places: Iterable[Place]) -> str:
    """Return the text of the file: by path, a line for each image.

    Images of equal content all are where the first one is, as far as the file tells: a
    deposit does not say which is which.

    Parameters
    ----------
    url
        Of the tarball.
    """
    known = sorted(places)
    first: dict[tuple[str, int], int] = {}
    for place in known:
        content = (place.md5, place.length)
        first[content] = min(place.start, first.get(content, place.start))
    lines = (
        f"{json.dumps(place.path, ensure_ascii=False)}: "
        f"{json.dumps([url, first[place.md5, place.length], place.length])}"
        for place in known
    )
    return '{"version": 1, "refs": {\n' + ",\n".join(lines) + "\n}}\n"
