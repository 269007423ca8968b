"""How files appear in the store, and how they go: whole, by one rename, or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from icfqueue.core.errors import TarballTouched
from icfqueue.core.guard import Guard
from icfqueue.core.processes import faultpoint
from icfqueue.store.beneath.folder import Folder
from icfqueue.store.beneath.fsync import sync_folder, to_disk
from icfqueue.store.beneath.swap_folder import put_folder
from icfqueue.store.beneath.walk import Beneath
from icfqueue.store.beneath.work_folders import WorkFolders, token
from icfqueue.store.fingerprint import Fingerprint

AT_ONCE = 50
"""Files that are renamed after one question to the guard."""

Pair = tuple[Path, Path]
"""A finished file and its name in the store."""


class Publication:
    """What publishes and removes for one store directory.

    Parameters
    ----------
    beneath
        What lies below it.
    work
        Its work folders.
    """

    def __init__(self, beneath: Beneath, work: WorkFolders) -> None:
        self._beneath = beneath
        self._work = work

    def publish_all(self, pairs: Sequence[Pair], guard: Guard) -> None:
        """Let finished files appear: :meth:`icfqueue.store.directory.Store.publish_all`."""
        to_disk([partial(self._finish, source) for source, _ in pairs])
        for _, target in pairs:
            faultpoint.reach(f"ready {target.name}")
        for start in range(0, len(pairs), AT_ONCE):
            self._publish(pairs[start : start + AT_ONCE], guard)
        # The names, too, outlast a loss of power.
        for parent in {target.parent for _, target in pairs}:
            with self._beneath.folder(parent) as folder:
                sync_folder(folder.descriptor)

    def _finish(self, source: Path) -> None:
        """Have a file durable on disk and readable for the group."""
        with self._beneath.folder(source.parent) as folder:
            file = _open_to_sync(folder, source.name)
        try:
            os.fsync(file)
            # A name that another file was given meanwhile opens that file to nobody.
            if os.fstat(file).st_nlink == 1:
                self._beneath.share(file, 0o666)
        finally:
            os.close(file)

    def _publish(self, pairs: Sequence[Pair], guard: Guard) -> None:
        staged: list[tuple[Folder, str]] = []
        with ExitStack() as opened:
            try:
                for source, _ in pairs:
                    staged.append(opened.enter_context(self._staged(source)))
                guard.before_change(pairs[0][1].name)
                for place, (_, target) in zip(staged, pairs, strict=True):
                    faultpoint.reach(f"before {target.name}")
                    with self._beneath.folder(target.parent) as folder:
                        place[0].rename(place[1], folder, target.name)
                    faultpoint.reach(f"after {target.name}")
            except BaseException:
                for folder, name in staged:
                    if name.startswith("ready-"):
                        folder.remove(name)
                raise

    @contextmanager
    def _staged(self, source: Path) -> Iterator[tuple[Folder, str]]:
        """Have `source` lie where the visit's next worker would remove it.

        What is in the work folder already lies there. What lies in a scratch folder, which
        another user cannot empty, is moved out of it.
        """
        around = self._work.around(source.parent)
        with self._beneath.folder(source.parent) as folder:
            if around is None:
                yield folder, source.name
                return
            name = f"ready-{token()}"
            folder.rename(source.name, around, name)
        yield around, name

    def withdraw(
        self,
        work: Path,
        target: Path,
        guard: Guard,
        expected: Fingerprint | None = None,
    ) -> None:
        """Remove a file: :meth:`icfqueue.store.directory.Store.withdraw`."""
        with self._work.bin(work) as gone, self._beneath.folder(target.parent) as folder:
            faultpoint.reach(f"ready {target.name}")
            guard.before_change(target.name)
            faultpoint.reach(f"removing {target.name}")
            folder.rename(target.name, gone, target.name)
            found = Fingerprint.of(gone.stat(target.name))
            if expected and found and not expected.same_but_renamed(found):
                _put_back(gone, folder, target.name)
                raise TarballTouched(
                    f"{target} was replaced while it was to be removed",
                    hint="it was kept; the visit is tried again",
                )
            faultpoint.reach(f"removed {target.name}")

    def swap_folder(self, new: Path, target: Path, aside: Path, guard: Guard) -> None:
        """Put a folder in its place: :meth:`icfqueue.store.directory.Store.swap_folder`."""
        with (
            self._staged(new) as (around, name),
            self._beneath.folder(target.parent) as parent,
        ):
            try:
                guard.before_change(target.name)
                faultpoint.reach(f"before {target.name}")
                # A link there is refused; a folder is what is exchanged.
                parent.stat(target.name)
                put_folder((around, name), (parent, target.name), (around, aside.name))
                faultpoint.reach(f"after {target.name}")
            finally:
                around.remove(name)


def _put_back(gone: Folder, folder: Folder, name: str) -> None:
    """Give a file its name back, unless another one has it by now: that is the newer."""
    try:
        gone.link(name, folder, name)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.EMLINK}:
            raise
        # A file system without links of this kind.
        gone.rename(name, folder, name)


def _open_to_sync(folder: Folder, name: str) -> int:
    """Open a finished file so that it can be flushed.

    Some network file systems flush only what may be written; another user's file of the
    group perhaps may not be.
    """
    try:
        return folder.open_file(name, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        return folder.open_file(name)
