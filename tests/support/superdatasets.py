"""Deposits without a tarball, by the thousand, and a look into a superdataset."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from icfqueue.core.guard import UNGUARDED
from icfqueue.core.visit import Visit
from icfqueue.dataset import programs, repository
from icfqueue.dataset.superdataset import commits
from icfqueue.outputs import deposit
from icfqueue.outputs.deposit import EXPORT, HEAD, REFS, Source
from icfqueue.store.directory import Store

URL = "https://data.example.org"
NEWEST = 1_400_000_000


def commit_of(visit: Visit, version: int = 0) -> str:
    """Return the commit that :func:`put_deposit` lets a visit have."""
    return hashlib.sha1(f"{visit} {version}".encode()).hexdigest()


def put_deposit(
    store: Store,
    visit: Visit,
    *,
    version: int = 0,
    newest: int = NEWEST,
    url: str = URL,
    foreign: bool = False,
) -> Visit:
    """Write both files of a deposit; its repository has no objects.

    Parameters
    ----------
    version
        Another one has another commit.
    foreign
        It says nothing of what it was made from, as another tool's.
    """
    commit = commit_of(visit, version)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as export:
        if not foreign:
            md5 = hashlib.md5(commit.encode()).hexdigest()
            source = Source(f"{url}/{visit.storepath}", md5, 1, newest, md5, 1)
            export.comment = json.dumps({"icfqueue": asdict(source)}).encode()
        export.writestr("HEAD", b"ref: refs/heads/master\n")
        export.writestr("packed-refs", f"{commit} {HEAD}\n")
    folder = store.project_dir(visit.project)
    folder.mkdir(exist_ok=True)
    store.path(visit, visit.repo_export).write_bytes(packed.getvalue())
    store.path(visit, visit.refs).write_bytes(deposit.refs_text({HEAD: commit}))
    return visit


def put_deposits(store: Store, project: str, names: Iterable[str]) -> list[Visit]:
    return [put_deposit(store, Visit(project, name)) for name in names]


def remove_deposit(store: Store, visit: Visit) -> None:
    for name in (visit.refs, visit.repo_export):
        store.path(visit, name).unlink()


@dataclass(frozen=True)
class Look:
    """What a superdataset has, as git tells it.

    Attributes
    ----------
    links
        Visit id to commit.
    files
        Path to content of all that is no link.
    tree
        Id of its tree.
    log
        Its commits, the newest first.
    refs
        Commit that the refs file names.
    """

    links: dict[str, str]
    files: dict[str, str]
    tree: str
    log: list[str]
    refs: str | None

    @property
    def commit(self) -> str:
        return self.log[0]


def look(folder: Path) -> Look:
    """Return what the superdataset in a project's folder has; git checks all of it."""
    with tempfile.TemporaryDirectory() as scratch:
        repo = repository.make_bare(Path(scratch) / "repo")
        with (folder / EXPORT).open("rb") as export:
            commit = commits.unpack(export, repo)
        # Every link to an object, and every object, of all commits.
        git(repo, "fsck", "--full", "--strict", "--no-dangling", commit)
        listed = git(repo, "ls-tree", "-r", commit).splitlines()
        entries = [line.replace("\t", " ").split(" ") for line in listed]
        text = None
        if (folder / REFS).exists():
            text = (folder / REFS).read_text()
        return Look(
            links={path: sha for mode, _, sha, path in entries if mode == "160000"},
            files={
                path: git(repo, "cat-file", "blob", sha)
                for mode, _, sha, path in entries
                if mode != "160000"
            },
            tree=git(repo, "rev-parse", f"{commit}^{{tree}}").strip(),
            log=git(repo, "rev-list", commit).split(),
            refs=deposit.parse_refs(text).get(HEAD) if text else None,
        )


def git(repo: Path, *words: str) -> str:
    return programs.run(["git", *words], repo=repo, guard=UNGUARDED).decode()


def check_whole(folder: Path) -> Look:
    """Fail unless what is there can be cloned, and lists nothing that cannot.

    A refs file may be that of an earlier commit: a writer died between the two.
    """
    found = look(folder)
    assert found.refs is None or found.refs in found.log
    for name, commit in found.links.items():
        text = (folder / Visit("p", name).refs).read_text()
        assert deposit.parse_refs(text)[HEAD] == commit, name
    return found


def agreed(folder: Path) -> tuple[str, bool]:
    """Return the id of the tree, and whether the refs file names its commit."""
    found = look(folder)
    return found.tree, found.refs == found.commit
