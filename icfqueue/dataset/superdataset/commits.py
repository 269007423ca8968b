"""The superdataset's repository: the last commit is read, a next one is put on top of it.

::

    .datalad/config, .datalad/.gitattributes, .gitattributes   as `datalad create` has them
    .gitmodules                                                a section for each visit
    README.md                                                  what it is, how to use it
    <visit>                                                    link to the visit's commit

Objects are written as files of their own and packed by git (``gitrepository-layout``,
``gitformat-pack``). No history is walked and no link is followed: the pack takes all
objects that are there. So the work for one visit more is that for its own two lists,
whatever came before. Of the lists of 40,000 visits only the newest is stored whole; an
older one is what differs from the next.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from icfqueue.core.errors import ToolFailed
from icfqueue.core.guard import Guard
from icfqueue.dataset import programs
from icfqueue.dataset.branches import COMMITTER, OWN_FILES
from icfqueue.dataset.superdataset import entries
from icfqueue.dataset.superdataset.entries import Entry
from icfqueue.outputs.deposit import HEAD, unpack_packs

README = "README.md"

_WHEN = re.compile(rb"^committer .* (\d+) \+0000$", re.MULTILINE)

_DEPTH = 1000
"""How many differences may lie between an old list and one that is stored whole. Git's
own 50 would make a repository of 40,000 visits grow by a megabyte for each 50 commits."""

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Last:
    """The last commit of a superdataset.

    Attributes
    ----------
    commit
        Its id (hex).
    when
        Its date, seconds since 1970.
    entries
        What it lists, by visit id; None if that cannot be understood.
    """

    commit: str
    when: int
    entries: dict[str, Entry] | None


def unpack(export: IO[bytes], repo: Path) -> str:
    """Put the objects of a superdataset in the store into the bare repository `repo`.

    Returns
    -------
    str
        The commit of its ``master`` (hex).

    Raises
    ------
    ValueError, KeyError, zipfile.BadZipFile
        It is no repository of this kind.
    """
    with zipfile.ZipFile(export) as packed:
        refs = packed.read("packed-refs").decode("ascii")
        unpack_packs(packed, repo)
    found = re.search(rf"^([0-9a-f]{{40}}) {HEAD}$", refs, re.MULTILINE)
    if found is None:
        raise ValueError("there is no master")
    return found[1]


def read(repo: Path, commit: str, guard: Guard) -> Last:
    """Return what a commit in the bare repository `repo` says.

    Raises
    ------
    ToolFailed, ValueError
        It is not there, or damaged.
    """
    wanted = (commit, f"{commit}^{{tree}}", f"{commit}:.gitmodules")
    said = programs.run(
        ["git", "cat-file", "--batch"],
        repo=repo,
        guard=guard,
        stdin="".join(f"{name}\n" for name in wanted).encode(),
    )
    about, tree, modules = _objects(said, len(wanted))
    when = _WHEN.search(about)
    if when is None:
        raise ValueError("its commit has no date")
    return Last(commit, int(when[1]), entries.parse(modules, dict(_links(tree))))


def is_damaged(repo: Path, guard: Guard) -> bool:
    """Tell whether what git failed with is the pack in `repo`, and no want of memory."""
    packs = [f"objects/pack/{path.name}" for path in (repo / "objects/pack").glob("*.idx")]
    try:
        programs.run(["git", "verify-pack", *packs], repo=repo, guard=guard)
    except ToolFailed as error:
        passing = ("killed by signal", "memory", "unable to create thread")
        return not any(word in error.message for word in passing)
    return not packs


def _objects(said: bytes, count: int) -> Iterator[bytes]:
    """Yield the objects that ``git cat-file --batch`` gave (git-cat-file(1)).

    Raises
    ------
    ValueError
        One is not there.
    """
    at = 0
    for _ in range(count):
        end = said.index(b"\n", at)
        name, kind, *size = said[at:end].split(b" ")
        if not size:
            raise ValueError(f"{name.decode()} is {kind.decode()}")
        yield said[end + 1 : end + 1 + int(size[0])]
        at = end + 1 + int(size[0]) + 1


def _links(tree: bytes) -> Iterator[tuple[str, str]]:
    """Yield path and commit of the links in a tree object."""
    at = 0
    while at < len(tree):
        end = tree.index(b"\0", at)
        mode, _, path = tree[at:end].partition(b" ")
        if mode == b"160000":
            yield path.decode("utf-8", "replace"), tree[end + 1 : end + 21].hex()
        at = end + 21


@dataclass(frozen=True, slots=True)
class Contents:
    """What a commit is to have.

    Attributes
    ----------
    dataset
        The superdataset's id.
    entries
        By visit id.
    readme
        The text about it; left out where a visit is called so.
    message
        The commit's.
    when
        Its date, seconds since 1970.
    """

    dataset: str
    entries: Mapping[str, Entry]
    readme: str
    message: str
    when: int


def write(repo: Path, contents: Contents, parent: str | None, guard: Guard) -> str:
    """Write a commit into the bare repository `repo` and pack all that is in it.

    Parameters
    ----------
    parent
        The commit that it comes on top of.

    Returns
    -------
    str
        Its id (hex); ``master`` is it.

    Raises
    ------
    ToolFailed, DiskTrouble
        git failed, as where an older object is damaged.
    """
    tree = _write_tree(repo, _paths(repo, contents))
    lines = [f"tree {tree}", *([f"parent {parent}"] if parent else [])]
    who = f"{COMMITTER.decode()} {contents.when} +0000"
    lines += [f"author {who}", f"committer {who}", "", contents.message, ""]
    commit = _write(repo, b"commit", "\n".join(lines).encode())
    guard.advance()
    _pack(repo, guard)
    (repo / HEAD).write_text(f"{commit}\n")
    return commit


def _paths(repo: Path, contents: Contents) -> list[tuple[bytes, bytes, str]]:
    """Write the files; return mode, name and id of everything at the tree's top."""
    dataset = contents.dataset.encode()
    own = {
        path: _write(repo, b"blob", content.replace(b"%s", dataset))
        for path, content in OWN_FILES.items()
    }
    inner = [
        (b"100644", path.removeprefix(b".datalad/"), sha)
        for path, sha in own.items()
        if path.startswith(b".datalad/")
    ]
    listed = [contents.entries[name] for name in sorted(contents.entries)]
    found = [
        (b"40000", b".datalad", _write_tree(repo, inner)),
        (b"100644", b".gitattributes", own[b".gitattributes"]),
        (b"100644", b".gitmodules", _write(repo, b"blob", entries.gitmodules(listed))),
    ]
    # A file system may take the two for one whatever their case.
    if README.lower() not in map(str.lower, contents.entries):
        readme = _write(repo, b"blob", contents.readme.encode())
        found.append((b"100644", README.encode(), readme))
    found += [
        (b"160000", name.encode(), entry.commit) for name, entry in contents.entries.items()
    ]
    return found


def _write_tree(repo: Path, paths: list[tuple[bytes, bytes, str]]) -> str:
    # A folder counts as if its name ended with a slash.
    paths.sort(key=lambda path: path[1] + b"/" * (path[0] == b"40000"))
    lines = (b"%s %s\0%s" % (mode, name, bytes.fromhex(sha)) for mode, name, sha in paths)
    return _write(repo, b"tree", b"".join(lines))


def _write(repo: Path, kind: bytes, content: bytes) -> str:
    """Write an object into a file of its own; return its id."""
    whole = b"%s %d\0%s" % (kind, len(content), content)
    sha = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
    path = repo / "objects" / sha[:2] / sha[2:]
    path.parent.mkdir(exist_ok=True)
    # Quickly: it is packed in a moment.
    path.write_bytes(zlib.compress(whole, 1))
    return sha


def _pack(repo: Path, guard: Guard) -> None:
    """Make one pack of all objects, the same bytes for the same ones."""
    old = list((repo / "objects" / "pack").iterdir())
    # By their names, whatever the order on the disk.
    every = ["--batch-all-objects", "--batch-check=%(objectname)"]
    names = programs.run(["git", "cat-file", *every], repo=repo, guard=guard)
    how = ["--quiet", "--threads=1", "--delta-base-offset", f"--depth={_DEPTH}"]
    where = "objects/pack/pack"
    pack = ["git", "pack-objects", *how, where]
    told = programs.run(pack, repo=repo, guard=guard, stdin=names).decode().strip()
    for path in old:
        if path.stem != f"pack-{told}":
            path.unlink()
