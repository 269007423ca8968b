"""Work folders: where unfinished files lie, which all workers of the group share.

In a work folder, beside what one step leaves for the next::

    tmp-<token>/     where one worker builds; nobody else may enter it
    ready-<token>    what is finished and will be renamed into its place
    gone-<token>/    where a file goes that is removed

Leftovers of a worker that lost its lease go when the next one begins. With ``ready-``
and ``gone-`` this is a fence: a worker that falls asleep after it was told that the lease
is its own, and wakes when the visit is another's, finds neither what it would publish nor
the place where it would put what it removes. So these may be removed by all of the group.
What is in ``tmp-`` must not even be written by them: git takes its hooks from there.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from icfqueue.core.errors import UnsafePath
from icfqueue.store.beneath.folder import Folder
from icfqueue.store.beneath.walk import Beneath

LEFTOVERS = ("tmp-", "ready-", "gone-")
"""How names begin that are of no use once their worker has lost the lease."""

_MAKE_TRIES = 10


def token() -> str:
    """Return what tells the names of one worker from those of all others."""
    return secrets.token_hex(4)


class WorkFolders:
    """The work folders of one store directory.

    Parameters
    ----------
    beneath
        What lies below the store directory.
    """

    def __init__(self, beneath: Beneath) -> None:
        self._beneath = beneath
        self._around: dict[str, Folder] = {}
        """Path of a scratch folder that is in use to the open work folder around it."""

    @contextmanager
    def opened(self, work: Path) -> Iterator[Folder]:
        """Open the work folder, which is made; if it is empty afterwards, it goes.

        Errors name the files by their paths in the store, not by open descriptors.

        Raises
        ------
        UnsafePath
            It, or what leads to it, is a link or can be changed by others.
        """
        with self._beneath.made(work) as folder:
            try:
                yield folder
            except OSError as error:
                _name_by_path(error, folder)
                raise
            finally:
                self.drop_if_empty(work)

    @contextmanager
    def scratch(self, work: Path) -> Iterator[Path]:
        """Yield a new folder in `work` that nobody else may enter; it is gone afterwards.

        Its path is that of a descriptor (:attr:`Folder.path`): good in this process, and
        as the working directory of a program. Leftovers of earlier workers go first.
        """
        name = f"tmp-{token()}"
        with self._with_new(work, name) as around:
            _sweep(around, but=name)
            try:
                with around.enter(name) as folder:
                    self._beneath.check_private(folder)
                    key = str(folder.path)
                    self._around[key] = around
                    try:
                        yield folder.path
                    except OSError as error:
                        _name_by_path(error, folder)
                        raise
                    finally:
                        del self._around[key]
            finally:
                around.remove(name)

    @contextmanager
    def _with_new(self, work: Path, name: str) -> Iterator[Folder]:
        """Open the work folder and make a private folder in it."""
        for left in reversed(range(_MAKE_TRIES)):
            with self.opened(work) as around:
                try:
                    around.make(name, 0o700)
                except FileNotFoundError:
                    # Another worker removed the work folder, which was still empty.
                    if left:
                        continue
                    raise
                yield around
                return

    @contextmanager
    def bin(self, work: Path) -> Iterator[Folder]:
        """Yield a new folder in `work` for what is removed; it goes with all in it."""
        name = f"gone-{token()}"
        with self._with_new(work, name) as around:
            try:
                with around.enter(name) as folder:
                    self._share(folder)
                    yield folder
            finally:
                around.remove(name)

    def _share(self, folder: Folder) -> None:
        readable = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._beneath.share(readable, 0o777)
        finally:
            os.close(readable)

    def around(self, scratch: Path) -> Folder | None:
        """Return the open work folder around a scratch folder that is in use."""
        return self._around.get(str(scratch))

    def drop_if_empty(self, work: Path) -> None:
        """Remove the work folder, and the folder of all of them, if they are empty."""
        with suppress(OSError, UnsafePath):
            self._remove_empty(work)

    def _remove_empty(self, work: Path) -> None:
        with self._beneath.folder(work.parent.parent) as project:
            with project.enter(work.parent.name) as hidden:
                hidden.remove_empty(work.name)
            project.remove_empty(work.parent.name)

    def open_if_there(self, work: Path) -> Folder | None:
        """Open the work folder; None if there is none."""
        try:
            return self._beneath.folder(work)
        except FileNotFoundError:
            return None

    def forget(self, work: Path, folder: Folder) -> None:
        """Remove what is in the open work folder, and then the folder.

        A folder of another user that nobody else may enter stays: it is what that one's
        worker left when it was killed (:func:`icfqueue.operations.audit.orphans`).

        Raises
        ------
        OSError
            It cannot be removed, as on a read-only file system.
        """
        for entry in folder.listing():
            if entry.kind == "folder":
                folder.remove(entry.name, strict=True)
            else:
                folder.unlink(entry.name)
        with suppress(FileNotFoundError):
            self._remove_empty(work)


def _sweep(around: Folder, but: str) -> None:
    for entry in around.listing():
        if entry.name.startswith(LEFTOVERS) and entry.name != but:
            around.remove(entry.name)


def _name_by_path(error: OSError, folder: Folder) -> None:
    """Have `error` name a file by its path in the store."""
    opened = str(folder.path)
    for which in ("filename", "filename2"):
        named = getattr(error, which)
        if isinstance(named, str) and f"{named}/".startswith(f"{opened}/"):
            setattr(error, which, str(folder.shown) + named[len(opened) :])
