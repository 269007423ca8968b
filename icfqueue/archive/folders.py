"""The files of one or more folders, as the members of one tarball: in order.

What is in each folder lies at the top, so that one folder, the same files in two, and the
two in another order make the same tarball. The order is that of the bytes of the whole
paths, whatever the locale: ``a-b``, ``a/b``, ``ab``. Names of a folder are known at a
time, and no more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from icfqueue.archive.refusals import DOUBLED, LINK, SPECIAL, UNREADABLE, Refusals


class Source(NamedTuple):
    """A file that is to become a member."""

    name: str
    """Its path below the folder; bytes that are not UTF-8 as surrogates."""
    path: bytes
    """Where it lies."""


def sources(folders: Sequence[Path], refused: Refusals) -> Iterator[Source]:
    """Yield the files of `folders` in the order of the tarball.

    Parameters
    ----------
    refused
        Told of what can be no member, and of what is there twice.
    """
    return _below([os.fsencode(folder) for folder in folders], b"", refused)


def _below(places: Sequence[bytes], above: bytes, refused: Refusals) -> Iterator[Source]:
    """Yield the files of folders that are one in the tarball."""
    here: dict[bytes, list[bytes]] = {}
    for place in places:
        _look(place, here, refused)
    if len(places) > 1:
        _check_doubled(here, refused)
    # With its slash, a folder stands where the paths of its files do.
    for name in sorted(here):
        if name.endswith(b"/"):
            yield from _below(here[name], above + name, refused)
        else:
            full = (above + name).decode("utf-8", "surrogateescape")
            yield Source(full, here[name][0])


def _look(place: bytes, here: dict[bytes, list[bytes]], refused: Refusals) -> None:
    """Add what is in the folder `place`: name, of a folder with a slash, to paths."""
    try:
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    here.setdefault(entry.name, []).append(entry.path)
                elif entry.is_dir(follow_symlinks=False):
                    here.setdefault(entry.name + b"/", []).append(entry.path)
                else:
                    kind = LINK if entry.is_symlink() else SPECIAL
                    refused.add(kind, os.fsdecode(entry.path))
    except OSError:
        refused.add(UNREADABLE, os.fsdecode(place))


def _check_doubled(here: dict[bytes, list[bytes]], refused: Refusals) -> None:
    """Refuse a file that is there twice, or that is a folder as well."""
    for name, paths in here.items():
        if not name.endswith(b"/") and (len(paths) > 1 or name + b"/" in here):
            refused.add(DOUBLED, os.fsdecode(paths[0]))
