"""The store directory: where each file of a visit lies and how it gets there.

::

    <root>/<project>/<visit>_dicom.tar, _metadata_*.json, _XDLRA--*   outputs
    <root>/<project>/catalog/                                         the study's catalog
    <root>/<project>/.icfqueue/<visit>/                               work in progress
    <root>/.icfqueue/                                                 broker, logs, id

Every file that is written lies in the visit's work folder until it is whole and then
appears under its name by one rename (:meth:`Store.publish`). The work folder is on the
file system of the outputs, is shared by all workers, and is removed when the visit is
complete. A path below the store directory is a name for who asks and for messages; what
is done there goes through :mod:`icfqueue.store.beneath`, which follows no link.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from icfqueue.core.errors import StepError
from icfqueue.core.guard import UNGUARDED, Guard
from icfqueue.core.processes import faultpoint
from icfqueue.core.visit import Visit
from icfqueue.store.beneath.publication import Publication
from icfqueue.store.beneath.swap_folder import recover
from icfqueue.store.beneath.walk import HIDDEN, Links
from icfqueue.store.beneath.work_folders import WorkFolders
from icfqueue.store.fingerprint import Fingerprint
from icfqueue.store.reading import StoreReader

log = logging.getLogger(__name__)

ARCHIVING = ".archive-"
"""How the work folder is called in which a tarball is written: no visit is called so."""


class Store(StoreReader):
    """One store directory.

    Parameters
    ----------
    root
        The folder that holds one folder per project.
    links
        Which links may be followed.
    """

    def __init__(self, root: Path, links: Links = Links.NONE) -> None:
        super().__init__(root, links)
        self._work = WorkFolders(self.beneath)
        self._publication = Publication(self.beneath, self._work)

    # Working

    @contextmanager
    def scratch(self, visit: Visit, guard: Guard = UNGUARDED) -> Iterator[Path]:
        """Yield a new folder for unfinished files of `visit`; it is gone afterwards.

        Nobody else may enter it. Leftovers of earlier workers, which the visit's lease
        proves dead, go first.

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
        UnsafePath
            The work folder is a link or can be changed by others.
        """
        guard.before_change(visit.id)
        with self._work.scratch(self.work_dir(visit)) as folder:
            yield folder

    @contextmanager
    def catalog_scratch(self, project: str) -> Iterator[Path]:
        """Yield a new folder for unfinished parts of the study's catalog.

        Leftovers go first: whoever updates the catalog holds the study's lock.

        Raises
        ------
        UnsafePath
            As :meth:`scratch`.
        """
        with self._work.scratch(self.catalog_work_dir(project)) as folder:
            yield folder

    @contextmanager
    def references_scratch(self, project: str) -> Iterator[Path]:
        """Yield a new folder for unfinished references of the project's visits.

        No worker's folder: the visits need not be this process's. Leftovers go first.

        Raises
        ------
        UnsafePath
            As :meth:`scratch`.
        """
        # No visit id starts with a dot, so it is no visit's folder.
        with self._work.scratch(self.project_dir(project) / HIDDEN / ".references") as made:
            yield made

    @contextmanager
    def archive_scratch(self, visit: Visit) -> Iterator[Path]:
        """Yield a new folder for an unfinished tarball of `visit`.

        No worker's folder: nobody holds the visit. What an earlier archiving of the visit
        left behind goes first.

        Raises
        ------
        UnsafePath
            As :meth:`scratch`.
        """
        hidden = self.project_dir(visit.project) / HIDDEN
        with self._work.scratch(hidden / f"{ARCHIVING}{visit.id}") as made:
            yield made

    @contextmanager
    def work_folder(self, visit: Visit) -> Iterator[Path]:
        """Open the visit's work folder, which is made; if it stays empty, it goes.

        Yields
        ------
        Path
            That of a descriptor, good in this process for the length of the block.

        Raises
        ------
        UnsafePath
            It is a link or can be changed by others.
        """
        with self._work.opened(self.work_dir(visit)) as folder:
            yield folder.path

    def forget_work(self, visit: Visit, guard: Guard = UNGUARDED) -> None:
        """Remove the visit's work folder, and the project's if it was the last.

        The folder is opened before `guard` is asked, and emptied through that. A worker
        that falls asleep in between and wakes when the visit was done by another, and
        perhaps begun anew, empties a folder that is gone.

        Raises
        ------
        Withdrawn
            The visit is no longer this worker's.
        UnsafePath
            It is a link, or somebody else's.
        OSError
            It cannot be removed, as on a read-only file system.
        """
        work = self.work_dir(visit)
        folder = self._work.open_if_there(work)
        if folder is None:
            guard.before_change(visit.id)
            return
        with folder:
            guard.before_change(visit.id)
            faultpoint.reach(f"removing {visit.id}")
            if os.fstat(folder.descriptor).st_nlink:
                self._work.forget(work, folder)
                faultpoint.reach(f"removed {visit.id}")

    def try_forget_work(self, visit: Visit) -> None:
        """Remove the visit's work folder; what cannot be removed is logged and stays."""
        try:
            self.forget_work(visit)
        except (OSError, StepError) as error:
            log.warning("%s: its work folder stays (%s)", visit, type(error).__name__)

    # Publishing

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
        if pairs:
            self._publication.publish_all(pairs, guard)

    def swap_folder(self, new: Path, target: Path, aside: Path, guard: Guard) -> None:
        """Let the finished folder `new` be `target`, in the place of what was there.

        Parameters
        ----------
        new
            In a scratch folder.
        aside
            A name in the work folder around that, for the old one where the file system
            cannot exchange two names (:mod:`icfqueue.store.beneath.swap_folder`).

        Raises
        ------
        Withdrawn
            The lock is lost; nothing was changed.
        UnsafePath
            A link is at `target`.
        """
        self._publication.swap_folder(new, target, aside, guard)

    def recover_folder(self, target: Path, aside: Path) -> None:
        """Finish what a worker that died in :meth:`swap_folder` left behind.

        Raises
        ------
        UnsafePath
            A link is at one of them, or leads there.
        """
        with (
            suppress(FileNotFoundError),
            self.beneath.folder(aside.parent) as around,
            self.beneath.folder(target.parent) as parent,
        ):
            recover((parent, target.name), (around, aside.name))

    def withdraw(
        self,
        visit: Visit,
        target: Path,
        guard: Guard,
        expected: Fingerprint | None = None,
    ) -> None:
        """Remove the published file `target` of `visit`, if it is there.

        It is renamed into the work folder first. A worker that falls asleep between the
        question and the rename, and wakes when the visit is another's, finds its folder
        gone (:meth:`scratch`) and so cannot remove what the other published.

        Parameters
        ----------
        expected
            What it must be; something else that has its name by now gets it back.

        Raises
        ------
        Withdrawn
            The visit is no longer this worker's; nothing was removed.
        TarballTouched
            It was not the expected one; it was kept.
        UnsafePath
            It is a link.
        """
        if self.exists(target):
            self._publication.withdraw(self.work_dir(visit), target, guard, expected)

    def keep(self, path: Path, name: str) -> None:
        """Give the file at `path` a second name, under which it outlasts a replacement.

        On a file system without second names it only has the new one afterwards.

        Raises
        ------
        FileExistsError
            Something has that name.
        UnsafePath
            A link leads there.
        """
        with self.beneath.folder(path.parent) as folder:
            try:
                folder.link(path.name, folder, name)
            except OSError as error:
                if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.EMLINK}:
                    raise
                folder.rename(path.name, folder, name)

    # Making

    def make_dir(self, folder: Path) -> None:
        """Make `folder` and its parents inside the store, for the store's group.

        Raises
        ------
        UnsafePath
            One of them is a link.
        """
        self.beneath.made(folder).close()

    def share_tree(self, folder: Path) -> None:
        """Give all in `folder` the group of the store, and have it on disk.

        Parameters
        ----------
        folder
            In a scratch folder, where nobody else can put a link.
        """
        for here, _, names in os.walk(folder):
            self._share(Path(here), os.O_RDONLY | os.O_DIRECTORY, 0o777)
            for name in names:
                self._share(Path(here, name), os.O_RDONLY, 0o666)

    def _share(self, path: Path, flags: int, mode: int) -> None:
        file = os.open(path, flags | os.O_NOFOLLOW)
        try:
            self.beneath.share(file, mode)
            if not flags & os.O_DIRECTORY:
                os.fsync(file)
        finally:
            os.close(file)
