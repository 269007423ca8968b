"""An open folder, and what is done in it: by its descriptor, following no link.

Whoever exchanges a folder for a link after it was opened changes nothing. Programs and
libraries that want a path get that of the descriptor, ``/proc/self/fd/<n>`` (proc(5)),
which leads to the open folder whatever its name leads to by now.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from icfqueue.core.errors import UnsafePath

OPEN_FOLDERS = "/proc/self/fd/"
"""Where the paths of open descriptors are."""

PLACE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
"""How a folder is opened as a place: nothing but the right to pass is needed."""

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Not blocking: the open of a pipe that somebody put there would wait for ever."""


class Listed(NamedTuple):
    """A name in a folder, and what has it."""

    name: str
    kind: Literal["file", "folder", "link", "other"]


class Folder:
    """An open folder; a context manager that closes it.

    Parameters
    ----------
    descriptor
        Of the folder; closed with this object.
    shown
        Its path, for messages.
    """

    __slots__ = ("descriptor", "shown")

    def __init__(self, descriptor: int, shown: Path) -> None:
        self.descriptor = descriptor
        self.shown = shown

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)

    @classmethod
    def at(cls, path: Path) -> Folder:
        """Open the folder at a path whose parts nobody else can change."""
        return cls(os.open(path, PLACE), path)

    @property
    def path(self) -> Path:
        """A path that leads here while the folder is open, in this process alone."""
        return Path(f"{OPEN_FOLDERS}{self.descriptor}")

    def enter(self, name: str, *, follow: bool = False) -> Folder:
        """Open the folder `name` in this one.

        Raises
        ------
        UnsafePath
            It is a link, and not to be followed.
        OSError
            It is not there, or no folder.
        """
        shown = self.shown / name
        flags = PLACE if follow else PLACE | os.O_NOFOLLOW
        try:
            return Folder(os.open(name, flags, dir_fd=self.descriptor), shown)
        except OSError as error:
            error.filename = str(shown)
            if not follow and error.errno in {errno.ENOTDIR, errno.ELOOP}:
                self.refuse_link(name)
            raise

    def refuse_link(self, name: str) -> None:
        """Raise if `name` is a link.

        Raises
        ------
        UnsafePath
            It is.
        """
        with suppress(OSError):
            target = os.readlink(name, dir_fd=self.descriptor)
            raise UnsafePath(
                f"{self.shown / name} is a symbolic link to {target}",
                hint="links are not followed: who may write in the store could have the "
                "workers change files elsewhere. Remove it, or see the setting "
                "store_links for projects or tarballs that lie elsewhere",
            )

    def stat(self, name: str, *, follow: bool = False) -> os.stat_result | None:
        """Return what the system knows of the file or folder `name`, None without one.

        Raises
        ------
        UnsafePath
            It is a link, and not to be followed, or leads nowhere.
        """
        try:
            found = os.stat(name, dir_fd=self.descriptor, follow_symlinks=follow)
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ELOOP}:
                error.filename = str(self.shown / name)
                raise
            if follow:
                self._refuse_broken(name)
            return None
        if stat.S_ISLNK(found.st_mode):
            self.refuse_link(name)
        return found

    def _refuse_broken(self, name: str) -> None:
        with suppress(OSError):
            target = os.readlink(name, dir_fd=self.descriptor)
            raise UnsafePath(
                f"{self.shown / name} is a symbolic link to {target}, which is not there",
                hint="remove the link to have the tarball downloaded, or bring its target "
                "back",
            )

    def open_file(
        self, name: str, flags: int = _READ, mode: int = 0o666, *, follow: bool = False
    ) -> int:
        """Return a descriptor of the file `name`.

        Parameters
        ----------
        flags, mode
            As for open(2): reading by default.
        follow
            Whether it may be a link.

        Raises
        ------
        UnsafePath
            It is a link, and not to be followed, or no file that lies on a disk.
        OSError
            It cannot be opened; IsADirectoryError for a folder.
        """
        flags = flags & ~os.O_NOFOLLOW if follow else flags | os.O_NOFOLLOW
        with self._named(name):
            try:
                file = os.open(name, flags, mode, dir_fd=self.descriptor)
            except OSError as error:
                if error.errno == errno.ELOOP:
                    self.refuse_link(name)
                raise
            mode = os.fstat(file).st_mode
            if stat.S_ISREG(mode):
                return file
            os.close(file)
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            raise UnsafePath(
                f"{self.shown / name} is neither a file nor a folder",
                hint="remove it: a pipe or a device can be no file of the store",
            )

    def make(self, name: str, mode: int = 0o777) -> None:
        """Make the folder `name`.

        Raises
        ------
        OSError
            It is there already, or cannot be made.
        """
        with self._named(name):
            os.mkdir(name, mode, dir_fd=self.descriptor)

    def listing(self) -> list[Listed]:
        """Return what is in the folder, as it is now: the system's memory is renewed."""
        with self._named("."):
            readable = self._readable()
            try:
                with os.scandir(readable) as entries:
                    return [Listed(entry.name, _kind(entry)) for entry in entries]
            finally:
                os.close(readable)

    def open_again(self) -> None:
        """Have a network file system ask its server whether the folder has changed."""
        with self._named("."):
            os.close(self._readable())

    def _readable(self) -> int:
        # A descriptor that is only a place cannot be read.
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.descriptor)

    def rename(self, name: str, into: Folder, new: str) -> None:
        """Give `name` the name `new` in the folder `into`; what has it there goes."""
        with self._named(name):
            os.rename(name, new, src_dir_fd=self.descriptor, dst_dir_fd=into.descriptor)

    def link(self, name: str, into: Folder, new: str) -> None:
        """Give the file `name` a second name, `new` in the folder `into`.

        Raises
        ------
        FileExistsError
            Something has it there.
        OSError
            The file system has no second names.
        """
        with self._named(name):
            os.link(
                name,
                new,
                src_dir_fd=self.descriptor,
                dst_dir_fd=into.descriptor,
                follow_symlinks=False,
            )

    def unlink(self, name: str) -> None:
        """Remove the file or link `name`, if it is there."""
        with self._named(name), suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)

    def remove(self, name: str, *, strict: bool = False) -> None:
        """Remove `name` and all in it as far as it can be; a link, not where it leads.

        Parameters
        ----------
        strict
            Raise if something stays though this user might have removed it.

        Raises
        ------
        OSError
            As on a read-only file system, if `strict`.
        """
        met = _Met()
        try:
            found = os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                # Goes by descriptors itself, and refuses a link.
                shutil.rmtree(name, dir_fd=self.descriptor, onerror=met.note)
            else:
                os.unlink(name, dir_fd=self.descriptor)
        except OSError:
            met.note(None, name, sys.exc_info())
        if strict and met.trouble:
            raise met.trouble

    def remove_empty(self, name: str) -> bool:
        """Remove the folder `name`; return False if something is in it."""
        try:
            with self._named(name):
                os.rmdir(name, dir_fd=self.descriptor)
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST}:
                raise
            return error.errno == errno.ENOENT
        return True

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Have errors name the whole path."""
        try:
            yield
        except OSError as error:
            error.filename = str(self.shown / name)
            error.filename2 = None
            raise


class _Met:
    """What kept a tree from being removed, but that it is another user's, or gone."""

    def __init__(self) -> None:
        self.trouble: OSError | None = None

    def note(self, call: object, path: str, info: tuple[Any, Any, Any]) -> None:  # noqa: ARG002 - as rmtree calls it
        error = info[1]
        if isinstance(error, OSError) and error.errno not in _NOT_OURS:
            self.trouble = self.trouble or error


_NOT_OURS = frozenset({errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTEMPTY})


def _kind(entry: os.DirEntry[str]) -> Literal["file", "folder", "link", "other"]:
    if entry.is_symlink():
        return "link"
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    return "file" if entry.is_file(follow_symlinks=False) else "other"
