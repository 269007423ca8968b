"""The bare repository of a dataset: made, filled by one import, checked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from icfqueue.core.errors import BadTarball, ToolFailed
from icfqueue.core.guard import Guard
from icfqueue.dataset.programs import feed, run

BARE_CONFIG = b"[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
"""``config`` of a bare repository. ``git init`` writes the same on a POSIX file system,
but probes it (``filemode``, ``symlinks``, ``ignorecase``), so that the store's file
system would show in the deposit."""


def make_bare(folder: Path) -> Path:
    """Make the empty bare repository `folder`, with ``master`` as its branch.

    The four entries are what git asks of a repository (``git help
    gitrepository-layout``); writing them saves a process per visit.
    """
    for part in ("objects/pack", "refs/heads"):
        (folder / part).mkdir(parents=True)
    (folder / "HEAD").write_bytes(b"ref: refs/heads/master\n")
    (folder / "config").write_bytes(BARE_CONFIG)
    return folder


def fast_import(repo: Path, stream: Iterable[bytes], guard: Guard) -> None:
    """Write a ``git fast-import`` stream into the bare repository `repo`, as one pack.

    The stream must end with ``done``: one that breaks off then fails instead of making
    half a dataset.
    """
    feed(
        ["git", *_ONE_PACK, "fast-import", "--quiet", "--done"],
        stream,
        repo=repo,
        guard=guard,
    )


_ONE_PACK = ("-c", "fastimport.unpackLimit=0")
"""Else a small import would become loose files. Compression level and delta depth are
git's own: no deltas make a deposit of 5,460 DICOM files a quarter larger and nothing
faster, other levels change it by less than one per cent."""


def check_tree(repo: Path, ref: str, guard: Guard) -> None:
    """Ask git whether the tree of `ref` can be checked out, on any file system.

    Raises
    ------
    BadTarball
        A path that git refuses (``.git`` and what NTFS or HFS+ take for it).
    """
    strict = ["-c", "core.protectNTFS=true", "-c", "core.protectHFS=true"]
    try:
        run(
            ["git", *strict, "read-tree", "--index-output=index", ref],
            repo=repo,
            guard=guard,
        )
    except ToolFailed as error:
        refused = re.search(r"invalid path '(.*)'", error.message, re.DOTALL)
        if refused is None:
            raise
        # An error's words are escaped already, but for the ends of lines.
        member = refused[1].replace("\n", "\\n")
        raise BadTarball(
            f"member '{member}' has a name that git refuses to check out",
            hint="the tarball must be made anew without it",
            cause="bad-name",
        ) from error
    (repo / "index").unlink(missing_ok=True)


def check_objects(repo: Path, commits: Iterable[str], guard: Guard) -> None:
    """Ask git whether every object of `commits` is there and whole.

    Raises
    ------
    ToolFailed
        One is missing or damaged.
    """
    args = ["git", "fsck", "--full", "--no-dangling", "--no-progress", *commits]
    run(args, repo=repo, guard=guard)
