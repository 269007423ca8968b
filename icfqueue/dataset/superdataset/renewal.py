"""The superdataset of a project in the store: renewed, made anew, looked at.

::

    <project>/XDLRA--refs, XDLRA--repo-export

It is written by whoever holds the study's lock. Its tree says nothing that the deposits
do not say; its history is the order in which they came. Each commit is on top of the
last, so a clone is updated by fast-forward.

The repository is replaced before the refs file, and the refs file stays while that is
done, other than at a visit's deposit: the new repository has in it what the old refs
name. At any moment the two are a superdataset that can be cloned, the old one or the new
one. (``datalad-annex::`` takes the refs file for the question whether there is anything
newer, and then clones what the repository has: datalad-next, `datalad_annex.py`.)
"""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from icfqueue.core.errors import ToolFailed, TransientError
from icfqueue.core.guard import UNGUARDED, Guard
from icfqueue.core.visit import Visit
from icfqueue.dataset import repository
from icfqueue.dataset.superdataset import commits, entries
from icfqueue.dataset.superdataset.commits import Contents, Last
from icfqueue.dataset.superdataset.entries import Deposited, Entry
from icfqueue.dataset.superdataset.readme import readme
from icfqueue.outputs import deposit
from icfqueue.outputs.deposit import EXPORT, HEAD, REFS
from icfqueue.outputs.ids import superdataset_id
from icfqueue.store.directory import Store
from icfqueue.store.disk import disk_trouble

log = logging.getLogger(__name__)

FORMAT = 1
"""Version of what a superdataset holds; with another one every visit is read again."""

TRIES = 5
"""How often a commit is made anew because a deposit that it lists went away meanwhile."""

CHUNK = 500
"""Deposits that are read between two safe points."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a superdataset was made for: the comment of its zip.

    Attributes
    ----------
    superdataset
        :data:`FORMAT`.
    url
        Of the project at the store.
    """

    superdataset: int
    url: str


@dataclass(frozen=True, slots=True)
class Renewal:
    """What renewing the superdataset did.

    Attributes
    ----------
    changed
        Visits that were added, removed, or have another commit.
    listed
        Number of visits in it; 0 also if there is none.
    read
        What the deposits said that were looked at; None of one that is not there.
    """

    changed: frozenset[Visit]
    listed: int
    read: Mapping[Visit, Deposited | None]


@dataclass(frozen=True, slots=True)
class Found:
    """A superdataset in the store.

    Attributes
    ----------
    refs
        Commit (hex) that its refs file names, None without one.
    commit
        Commit of its repository.
    made
        What it was made for.
    commits
        Visit to the commit that it has of it; None if that cannot be understood.
    """

    refs: str | None
    commit: str
    made: Made | None
    commits: dict[Visit, str] | None


def renew(
    store: Store,
    project: str,
    visits: Collection[Visit] | None,
    store_url: str,
    guard: Guard = UNGUARDED,
) -> Renewal:
    """Have the superdataset list what is deposited: one commit, if anything has changed.

    Parameters
    ----------
    visits
        Those whose deposits may be others than before. All others that it lists are
        taken to be as they were, if they are still there. None has all read again.
    store_url
        Where the deposits are cloned from.
    guard
        Asked before anything appears in the store.

    Raises
    ------
    StepError
        It cannot be written; the old one stays.
    Withdrawn
        The lock was lost; the old one stays, or the new one is there.
    """
    work = _Superdataset(store, project, store_url.rstrip("/"), guard)
    with disk_trouble(f"renewing the superdataset of {project}"):
        # Another machine may have deposited a visit, or written this, just now.
        store.look_again(store.project_dir(project))
        for _ in range(TRIES):
            if found := work.renew(visits):
                return found
    raise TransientError(
        f"deposits of {project} come and go faster than they can be listed",
        hint="it is tried again",
    )


def find(store: Store, project: str, scratch: Path) -> Found | None:
    """Return the superdataset of `project`; None if there is none, or a damaged one.

    Parameters
    ----------
    scratch
        An empty folder.
    """
    work = _Superdataset(store, project, "", UNGUARDED)
    repo = repository.make_bare(scratch / "repo")
    last, made = work.last(repo)
    if last is None:
        return None
    listed = last.entries
    return Found(
        work.refs(),
        last.commit,
        made,
        listed
        if listed is None
        else {Visit(project, name): entry.commit for name, entry in listed.items()},
    )


def exists(store: Store, project: str) -> bool:
    """Return whether anything of a superdataset is there."""
    folder = store.project_dir(project)
    return any(store.exists(folder / name) for name in (REFS, EXPORT))


@dataclass(frozen=True, slots=True)
class _Superdataset:
    """The superdataset of one project, as it lies in the store directory."""

    store: Store
    project: str
    store_url: str
    guard: Guard
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", self.store.project_dir(self.project))

    @property
    def wanted(self) -> Made:
        """What it is to be made for."""
        return Made(FORMAT, f"{self.store_url}/{self.project}")

    def refs(self) -> str | None:
        """Return the commit that the refs file names; None if it does not."""
        try:
            text = self.store.read_bytes(self.folder / REFS).decode("ascii")
            return deposit.parse_refs(text).get(HEAD)
        except (FileNotFoundError, ValueError):
            return None

    def last(self, repo: Path) -> tuple[Last | None, Made | None]:
        """Unpack what is in the store into `repo`; return its last commit."""
        try:
            with self.store.open_read(self.folder / EXPORT) as export:
                commit = commits.unpack(export, repo)
                made = _made(export)
            return commits.read(repo, commit, self.guard), made
        except FileNotFoundError:
            return None, None
        except (ValueError, KeyError, zipfile.BadZipFile, ToolFailed) as error:
            self._raise_if_passing(error, repo)
            log.warning(
                "the superdataset of %s is damaged (%s)", self.project, type(error).__name__
            )
            return None, None

    def renew(self, visits: Collection[Visit] | None) -> Renewal | None:
        """Write the next commit; None if a deposit went away meanwhile."""
        with self.store.catalog_scratch(self.project) as scratch:
            repo = repository.make_bare(scratch / "repo")
            last, made = self.last(repo)
            if last is None:
                repo = repository.make_bare(scratch / "new")
            before = (last.entries if last else None) or {}
            known = before if made == self.wanted and visits is not None else {}
            here = entries.deposited(self.store, self.project)
            found = {
                visit.id: entry
                for visit in here
                if (entry := known.get(visit.id)) and visit not in (visits or ())
            }
            read = self._read(sorted(here - {Visit(self.project, name) for name in found}))
            for visit, one in read.items():
                if one:
                    found[visit.id] = entries.entry_of(self.store_url, visit, one)
            read |= dict.fromkeys(set(visits or ()) - here, None)
            changed = _changed(before, found)
            result = Renewal(
                frozenset(Visit(self.project, name) for name in changed), len(found), read
            )
            if last is None and not found:
                return result
            if last is not None and not changed and made == self.wanted:
                self._publish_refs(scratch, last.commit)
                return result
            self._write(repo, last, _Next(before, found, read, changed))
            refs = deposit.pack_refs(repo)
            deposit.write_export(repo, scratch / "export", self.wanted)
            self.guard.advance()
            if not here <= entries.deposited(self.store, self.project):
                return None
            self._publish(scratch, refs)
            return result

    def _read(self, visits: Collection[Visit]) -> dict[Visit, Deposited | None]:
        found = {}
        for number, visit in enumerate(visits):
            if number % CHUNK == 0:
                self.guard.advance()
            found[visit] = entries.read(self.store, visit)
        return found

    def _write(self, repo: Path, last: Last | None, following: _Next) -> None:
        """Write the commit; without the history if that cannot be read any more."""
        contents = Contents(
            str(superdataset_id(self.store_url, self.project)),
            following.entries,
            readme(self.store_url, self.project),
            following.message(self.project),
            following.when(last.when if last else 0),
        )
        try:
            commits.write(repo, contents, last.commit if last else None, self.guard)
        except ToolFailed as error:
            if last is None:
                raise
            self._raise_if_passing(error, repo)
            log.warning(
                "the superdataset of %s begins anew: %s", self.project, type(error).__name__
            )
            _empty(repo)
            commits.write(repo, contents, None, self.guard)

    def _raise_if_passing(self, error: Exception, repo: Path) -> None:
        """Raise what git failed with, unless the old repository is to blame.

        To begin anew breaks every clone: no git that was killed may lead to it.
        """
        if isinstance(error, ToolFailed):
            self.guard.advance()
            if not commits.is_damaged(repo, self.guard):
                raise error

    def _publish(self, scratch: Path, refs: dict[str, str]) -> None:
        (scratch / "refs").write_bytes(deposit.refs_text(refs))
        self.store.publish_all(
            [
                (scratch / "export", self.folder / EXPORT),
                (scratch / "refs", self.folder / REFS),
            ],
            self.guard,
        )

    def _publish_refs(self, scratch: Path, commit: str) -> None:
        """Finish what a worker that died between the two files left behind."""
        if self.refs() != commit:
            (scratch / "refs").write_bytes(deposit.refs_text({HEAD: commit}))
            self.store.publish(scratch / "refs", self.folder / REFS, self.guard)


@dataclass(frozen=True, slots=True)
class _Next:
    """What the next commit has, and in what it differs from the last."""

    before: dict[str, Entry]
    entries: dict[str, Entry]
    read: Mapping[Visit, Deposited | None]
    changed: Collection[str]

    def message(self, project: str) -> str:
        """Return the commit's message."""
        added = len(self.entries.keys() - self.before.keys())
        removed = len(self.before.keys() - self.entries.keys())
        changed = len(self.changed) - added - removed
        counts = {"added": added, "changed": changed, "removed": removed}
        words = [f"{count} {what}" for what, count in counts.items() if count]
        return f"{project}: {len(self.entries)} visits ({', '.join(words) or 'as before'})"

    def when(self, last: int) -> int:
        """Return the commit's date: that of the newest visit in it, never an earlier one.

        The deposits' own dates, not the clock's: who writes it again writes the same.
        """
        dates = (
            found.source.newest
            for visit, found in self.read.items()
            if found and found.source and visit.id in self.changed
        )
        return max(last, *dates, 0)


def _changed(before: dict[str, Entry], after: dict[str, Entry]) -> set[str]:
    """Return the ids of visits that were added, removed or changed."""
    names = before.keys() | after.keys()
    return {name for name in names if before.get(name) != after.get(name)}


def _made(export: IO[bytes]) -> Made | None:
    """Return what a superdataset's zip says that it was made for."""
    with zipfile.ZipFile(export) as packed:
        return deposit.made_from(packed.comment, Made)


def _empty(repo: Path) -> None:
    for path in (repo / "objects" / "pack").iterdir():
        path.unlink()
