"""The store directory: where each file of a visit lies and how it gets there.

::

    <root>/<project>/<visit>_dicom.tar, _metadata_*.json, _XDLRA--*   outputs
    <root>/<project>/catalog/                                         the study's catalog
    <root>/<project>/.icfqueue/<visit>/                               work in progress
    <root>/.icfqueue/                                                 the embedded broker

Every file that is written lies in the visit's work folder until it is whole and then
appears under its name by one rename (:meth:`Store.publish`). The work folder is on the
file system of the outputs, is shared by all workers, and is removed when the visit is
complete.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from icfqueue.core import faultpoint
from icfqueue.core.errors import UsageError
from icfqueue.core.guard import UNGUARDED, Guard
from icfqueue.core.visit import TAR_SUFFIX, Visit, check_id
from icfqueue.store.fsync import sync_folder, to_disk

HIDDEN = ".icfqueue"
"""Folder for what is no output, in the store directory and in each project."""


AT_ONCE = 50
"""Files that are renamed after one question to the guard."""


class Store:
    """One store directory.

    Parameters
    ----------
    root
        The folder that holds one folder per project.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root).absolute()

    def check_is_there(self) -> None:
        """Raise unless the store directory exists.

        Raises
        ------
        UsageError
            It does not; nothing is created in its place, it may be a missing mount.
        """
        if not self.root.is_dir():
            raise UsageError(
                f"the store directory {self.root} is not there",
                hint="give it with --store-dir or ICFQUEUE_STORE_DIR; is it mounted?",
            )

    def project_dir(self, project: str) -> Path:
        """Return the folder of `project`; the id is checked first."""
        return self.root / check_id(project, "project")

    def path(self, visit: Visit, name: str) -> Path:
        """Return where the file `name` (``visit.tarball``, …) of `visit` lies."""
        return self.root / visit.project / name

    def catalog_dir(self, project: str) -> Path:
        """Return the folder of the study's catalog."""
        return self.project_dir(project) / "catalog"

    def visits(self, project: str) -> list[Visit]:
        """Return the visits whose tarball is in the store directory, by id."""
        found = []
        with suppress(FileNotFoundError), os.scandir(self.project_dir(project)) as names:
            for entry in names:
                visit = Visit.of_tarball(project, entry.name)
                if visit and entry.is_file():
                    found.append(visit)
        return sorted(found)

    def unusable(self, project: str) -> list[str]:
        """Return the names of tarballs that :meth:`visits` passes over, sorted.

        The name gives no visit id, or is that of no file (a broken link, a folder).
        """
        found = []
        with suppress(FileNotFoundError), os.scandir(self.project_dir(project)) as names:
            for entry in names:
                visit = Visit.of_tarball(project, entry.name)
                if entry.name.endswith(TAR_SUFFIX) and not (visit and entry.is_file()):
                    found.append(entry.name)
        return sorted(found)

    def work_dir(self, visit: Visit) -> Path:
        """Return the folder for what lies between two steps of `visit`."""
        return self.root / visit.project / HIDDEN / visit.id

    @contextmanager
    def scratch(self, visit: Visit, guard: Guard = UNGUARDED) -> Iterator[Path]:
        """Yield a new folder for unfinished files of `visit`; it is gone afterwards.

        Leftovers of earlier workers, which the visit's lease proves dead, go first.

        Parameters
        ----------
        visit
            Whose work folder it lies in.
        guard
            Asked for the lease: the leftovers could be those of the next worker.

        Raises
        ------
        Withdrawn
            The visit is no longer this worker's.
        """
        guard.before_publish(visit.id)
        work = self.work_dir(visit)
        try:
            with self._scratch_in(work) as folder:
                yield folder
        finally:
            # Empty when the visit was another's already, who has forgotten it by now.
            with suppress(OSError):
                work.rmdir()
                work.parent.rmdir()

    def catalog_work_dir(self, project: str) -> Path:
        """Return the folder for unfinished parts of the study's catalog.

        No visit id starts with a dot, so it is no visit's folder.
        """
        return self.project_dir(project) / HIDDEN / ".catalog"

    @contextmanager
    def catalog_scratch(self, project: str) -> Iterator[Path]:
        """Yield a new folder for unfinished parts of the study's catalog.

        Leftovers go first: whoever updates the catalog holds the study's lock.
        """
        work = self.catalog_work_dir(project)
        try:
            with self._scratch_in(work) as folder:
                yield folder
        finally:
            with suppress(OSError):
                work.rmdir()
                work.parent.rmdir()

    @contextmanager
    def _scratch_in(self, work: Path) -> Iterator[Path]:
        self._make_dir(work)
        for old in work.glob("tmp-*"):
            shutil.rmtree(old, ignore_errors=True)
        folder = work / f"tmp-{secrets.token_hex(4)}"
        self._make_dir(folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, source: Path, target: Path, guard: Guard) -> None:
        """Let the finished file `source` appear as `target`, whole or not at all.

        Parameters
        ----------
        source
            A file of the visit's work folder; durable on disk before it is renamed.
        target
            Its name in the store.
        guard
            Asked once more right before the rename.

        Raises
        ------
        Withdrawn
            The visit is no longer this worker's; nothing appeared.
        OSError
            The disk is in trouble; nothing appeared.
        """
        self.publish_all([(source, target)], guard)

    def publish_all(self, pairs: Sequence[tuple[Path, Path]], guard: Guard) -> None:
        """Let finished files appear, each whole or not at all, in this order.

        What is paid for each file otherwise is paid for many at once: the disk writes
        them together, and `guard` is asked once for :data:`AT_ONCE` renames, which take
        milliseconds. What a worker that falls asleep in between could still rename is
        gone when the next one has begun (:meth:`scratch`).

        Raises
        ------
        Withdrawn, OSError
            As :meth:`publish`; the files before it did appear.
        """
        to_disk([source for source, _ in pairs])
        for source, target in pairs:
            self._share(source, 0o666)
            faultpoint.reach(f"ready {target.name}")
        for place, (source, target) in enumerate(pairs):
            if place % AT_ONCE == 0:
                guard.before_publish(target.name)
            faultpoint.reach(f"before {target.name}")
            source.replace(target)
            faultpoint.reach(f"after {target.name}")
        # The names, too, outlast a loss of power.
        for folder in {target.parent for _, target in pairs}:
            sync_folder(folder)

    def withdraw(self, visit: Visit, target: Path, guard: Guard) -> None:
        """Remove the published file `target` of `visit`, if it is there.

        It is renamed into the work folder first. A worker that falls asleep between the
        question and the rename, and wakes when the visit is another's, finds its folder
        gone (:meth:`scratch`) and so cannot remove what the other published.

        Raises
        ------
        Withdrawn
            The visit is no longer this worker's; nothing was removed.
        """
        if not target.exists():
            return
        work = self.work_dir(visit)
        folder = work / f"tmp-{secrets.token_hex(4)}"
        self._make_dir(folder)
        try:
            faultpoint.reach(f"ready {target.name}")
            guard.before_publish(target.name)
            faultpoint.reach(f"removing {target.name}")
            target.replace(folder / target.name)
            faultpoint.reach(f"removed {target.name}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):
                work.rmdir()
                work.parent.rmdir()

    def forget_work(self, visit: Visit, guard: Guard = UNGUARDED) -> None:
        """Remove the visit's work folder, and the project's if it was the last.

        The folder is opened before `guard` is asked, and emptied through that. A worker
        that falls asleep in between and wakes when the visit was done by another, and
        perhaps begun anew, empties a folder that is gone.

        Raises
        ------
        Withdrawn
            The visit is no longer this worker's.
        OSError
            It cannot be removed, as on a read-only file system.
        """
        work = self.work_dir(visit)
        try:
            folder = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            guard.before_publish(visit.id)
            return
        try:
            guard.before_publish(visit.id)
            faultpoint.reach(f"removing {visit.id}")
            if os.fstat(folder).st_nlink:
                _empty(folder)
                faultpoint.reach(f"removed {visit.id}")
        finally:
            os.close(folder)
        _remove_empty(work)
        _remove_empty(work.parent)

    def room(self) -> int:
        """Return the bytes that this user may still write here."""
        found = os.statvfs(self.root)
        return found.f_bavail * found.f_frsize

    def make_dir(self, folder: Path) -> None:
        """Make `folder` and its parents inside the store, for the store's group."""
        self._make_dir(folder)

    def share_tree(self, folder: Path) -> None:
        """Give all in `folder` the group of the store, and have it on disk."""
        for here, _, names in os.walk(folder):
            self._share(Path(here), 0o777)
            for name in names:
                path = Path(here, name)
                self._share(path, 0o666)
                with path.open("rb") as file:
                    os.fsync(file.fileno())

    def _make_dir(self, folder: Path) -> None:
        """Make `folder` and its parents inside the store, for the store's group."""
        # Another worker may remove a parent that is still empty at any moment.
        for _ in range(_MAKE_DIR_TRIES):
            if folder.is_dir():
                return
            if folder != self.root:
                self._make_dir(folder.parent)
            with suppress(FileNotFoundError):
                folder.mkdir(exist_ok=True)
                self._share(folder, 0o777)

    def _share(self, path: Path, mode: int) -> None:
        """Give `path` the group of the store and `mode` as the umask allows it."""
        found = path.stat()
        group = self.root.stat().st_gid
        if found.st_gid != group:
            with suppress(PermissionError):
                os.chown(path, -1, group)
        # What a folder made below a setgid folder inherits: the group for all in it.
        setgid = found.st_mode & stat.S_ISGID if stat.S_ISDIR(found.st_mode) else 0
        path.chmod(mode & ~_UMASK | setgid)


def _empty(folder: int) -> None:
    """Remove everything in a folder that is open."""
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_dir in found:
        with suppress(FileNotFoundError):
            if is_dir:
                shutil.rmtree(name, dir_fd=folder)
            else:
                os.unlink(name, dir_fd=folder)


def _remove_empty(folder: Path) -> None:
    """Remove a folder, unless something is in it or it is gone."""
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST}:
            raise


def _umask() -> int:
    # The only portable way to read it is to set it; done once, at import, before any
    # thread could create a file in between.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


_UMASK = _umask()
_MAKE_DIR_TRIES = 10
