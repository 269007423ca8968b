"""Folders below the store directory, opened one from the other without following links.

In a store where a group may write, any of its members can put a link where a worker
expects a file or a folder of its own. So no path below the store directory is ever given
to the system as a whole: each folder is opened from the one above it (``openat(2)`` with
``O_NOFOLLOW``), and what is done in it is done through its descriptor
(:mod:`icfqueue.store.beneath.folder`).
"""

from __future__ import annotations

import os
import shlex
import stat
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from icfqueue.core.errors import UnsafePath
from icfqueue.store.beneath.folder import OPEN_FOLDERS, Folder
from icfqueue.store.beneath.sharing import shared_mode

HIDDEN = ".icfqueue"
"""Folder for what is no output, in the store directory and in each project."""

NOBODY = 65534
"""Owner that the kernel shows where it knows none, as for root on NFS (``overflowuid``)."""


class Links(StrEnum):
    """Which links a site lets the workers follow; the words are those of a setting."""

    NONE = "none"
    """None at all."""
    PROJECTS = "projects"
    """The projects' own folders may be links."""
    ALL = "all"
    """And tarballs, too: an archive that lies elsewhere."""


class Beneath:
    """What lies below one store directory.

    Parameters
    ----------
    root
        The store directory. Its own path may lead through links: whoever gave it may
        write there anyway.
    links
        Which links the site wants followed.
    """

    def __init__(self, root: Path, links: Links) -> None:
        self.root = root
        self.links = links
        self._of_root = root.parts
        self._groups = frozenset((os.getegid(), *os.getgroups()))

    def parts(self, path: Path) -> list[str]:
        """Return the names that lead from the store directory to `path`.

        Raises
        ------
        ValueError
            It does not lie below the store directory.
        """
        names = path.parts
        count = len(self._of_root)
        if names[:count] != self._of_root or ".." in names:
            raise ValueError(f"{path} does not lie in {self.root}")
        return list(names[count:])

    def folder(self, path: Path) -> Folder:
        """Open the folder at `path`.

        Parameters
        ----------
        path
            Below the store directory, or below that of an open :class:`Folder`.

        Raises
        ------
        UnsafePath
            A link that is not to be followed leads there, or it is a work folder that
            others may change.
        OSError
            It is not there.
        """
        if str(path).startswith(OPEN_FOLDERS):
            return Folder.at(path)
        return self._walk(self.parts(path), make=False)

    def made(self, path: Path) -> Folder:
        """Open the folder at `path`; it and its parents are made if they are not there.

        Raises
        ------
        UnsafePath, OSError
            As :meth:`folder`.
        """
        parts = self.parts(path)
        # Another worker may remove a parent that is still empty at any moment.
        for _ in range(_MAKE_TRIES):
            with suppress(FileNotFoundError):
                return self._walk(parts, make=True)
        return self._walk(parts, make=True)

    def _walk(self, parts: list[str], *, make: bool) -> Folder:
        here = Folder.at(self.root)
        of_root = os.fstat(here.descriptor) if HIDDEN in parts or make else None
        for number, name in enumerate(parts):
            follow = number == 0 and name != HIDDEN and self.links != Links.NONE
            with here:
                if make and of_root:
                    self._make(here, name, of_root)
                below = here.enter(name, follow=follow)
            here = below
            if of_root and HIDDEN in parts[: number + 1]:
                try:
                    self._check_own(here, of_root)
                except UnsafePath:
                    here.close()
                    raise
        return here

    def _make(self, parent: Folder, name: str, of_root: os.stat_result) -> None:
        """Make the folder `name` for the store's group, unless it is there."""
        try:
            parent.make(name)
        except FileExistsError:
            return
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        new = os.open(name, flags, dir_fd=parent.descriptor)
        try:
            self.share(new, 0o777, of_root)
        finally:
            os.close(new)

    def share(self, file: int, mode: int, of_root: os.stat_result | None = None) -> None:
        """Give an open file the group of the store, and `mode` as it allows it.

        What another user of the group has made stays as that one made it. See
        :func:`icfqueue.store.beneath.sharing.shared_mode`.
        """
        found = os.fstat(file)
        of_root = of_root or self.root.stat()
        if found.st_gid != of_root.st_gid:
            with suppress(PermissionError):
                os.fchown(file, -1, of_root.st_gid)
        wanted = shared_mode(of_root, found, mode)
        if stat.S_IMODE(found.st_mode) != wanted:
            with suppress(PermissionError):
                os.fchmod(file, wanted)

    def _check_own(self, folder: Folder, of_root: os.stat_result) -> None:
        """Raise unless a work folder is this user's or the group's, and only theirs.

        Nothing more is asked than that it is no more open than the store directory:
        file systems without owners show the same for all.
        """
        found = os.fstat(folder.descriptor)
        if found.st_mode & stat.S_IWOTH & ~of_root.st_mode:
            raise UnsafePath(
                f"{folder.shown} can be written by everybody",
                hint=f"`chmod o-w {shlex.quote(str(folder.shown))}`",
            )
        users = {os.geteuid(), 0, of_root.st_uid}
        if found.st_uid in users or found.st_gid in {of_root.st_gid, *self._groups}:
            return
        raise UnsafePath(
            f"{folder.shown} belongs to user {found.st_uid} and group {found.st_gid}, the "
            f"store directory to user {of_root.st_uid} and group {of_root.st_gid}",
            hint="work folders belong to who runs the workers or to the store's group: "
            f"remove {folder.shown}, or give it to the group with chgrp",
        )

    def check_private(self, folder: Folder) -> None:
        """Raise unless `folder` is this user's own.

        Raises
        ------
        UnsafePath
            Somebody else made it.
        """
        found = os.fstat(folder.descriptor)
        if found.st_uid in {os.geteuid(), NOBODY} or found.st_uid == self._own_id(folder):
            return
        raise UnsafePath(
            f"{folder.shown} belongs to user {found.st_uid}, not to {os.geteuid()}",
            hint=f"somebody else put it there: look who may write in {folder.shown.parent}",
        )

    @staticmethod
    def _own_id(folder: Folder) -> int:
        """Return the owner that the file system gives this user's files.

        A server may map all users to one; what was opened new is this user's for sure.
        """
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR
        try:
            file = folder.open_file(_PROBE, flags, 0o600)
        except OSError:
            return -1
        try:
            return os.fstat(file).st_uid
        finally:
            os.close(file)
            folder.unlink(_PROBE)


_MAKE_TRIES = 10
_PROBE = "whose"
