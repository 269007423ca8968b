"""The store directory to be read: where each file of a visit lies, and what is there.

A path below the store directory is a name for who asks and for messages; what is looked
at goes through :mod:`icfqueue.store.beneath`, which follows no link.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Self

from icfqueue.core.errors import UnsafePath, UsageError
from icfqueue.core.settings import Settings, whole_path
from icfqueue.core.visit import TAR_SUFFIX, Visit, check_id
from icfqueue.store.beneath.folder import Listed
from icfqueue.store.beneath.walk import HIDDEN, Beneath, Links
from icfqueue.store.fingerprint import Fingerprint


class StoreReader:
    """One store directory, of which nothing is changed.

    Parameters
    ----------
    root
        The folder that holds one folder per project.
    links
        Which links may be followed.
    """

    def __init__(self, root: Path, links: Links = Links.NONE) -> None:
        self.root = whole_path(root)
        self.beneath = Beneath(self.root, links)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the store directory that the settings name."""
        return cls(settings.store_dir, Links(settings.store_links))

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

    # Names

    def project_dir(self, project: str) -> Path:
        """Return the folder of `project`; the id is checked first."""
        return self.root / check_id(project, "project")

    def path(self, visit: Visit, name: str) -> Path:
        """Return where the file `name` (``visit.tarball``, …) of `visit` lies."""
        return self.root / visit.project / name

    def catalog_dir(self, project: str) -> Path:
        """Return the folder of the study's catalog."""
        return self.project_dir(project) / "catalog"

    def work_dir(self, visit: Visit) -> Path:
        """Return the folder for what lies between two steps of `visit`."""
        return self.root / visit.project / HIDDEN / visit.id

    def catalog_work_dir(self, project: str) -> Path:
        """Return the folder for unfinished parts of the study's catalog.

        No visit id starts with a dot, so it is no visit's folder.
        """
        return self.project_dir(project) / HIDDEN / ".catalog"

    # Looking

    def stat(self, path: Path) -> os.stat_result | None:
        """Return what the system knows of the file or folder at `path`, None without one.

        Raises
        ------
        UnsafePath
            A link that is not to be followed is there or leads there.
        """
        if path == self.root:
            return path.stat()
        try:
            with self.beneath.folder(path.parent) as folder:
                return folder.stat(path.name, follow=self._follows(path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def exists(self, path: Path) -> bool:
        """Return whether a file or folder is at `path`.

        Raises
        ------
        UnsafePath
            As :meth:`stat`.
        """
        return self.stat(path) is not None

    def holds(self, path: Path) -> bool:
        """Return whether anything seems to have the name `path`; never raises.

        That is so for a link, too, and where the disk does not say.
        """
        try:
            return self.exists(path)
        except (OSError, UnsafePath):
            return True

    def is_folder(self, path: Path) -> bool:
        """Return whether a folder is at `path`.

        Raises
        ------
        UnsafePath
            A link that is not to be followed is there or leads there.
        """
        if path == self.root:
            return path.is_dir()
        try:
            self.beneath.folder(path).close()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def fingerprint(self, path: Path) -> Fingerprint | None:
        """Return what tells the file at `path` from any other, None without one.

        Raises
        ------
        UnsafePath
            As :meth:`stat`.
        """
        return Fingerprint.of(self.stat(path))

    def open_read(self, path: Path) -> FileIO:
        """Open the file at `path` to be read, without a buffer.

        Raises
        ------
        UnsafePath
            A link that is not to be followed, or something else than a file.
        OSError
            It is not there, or cannot be read.
        """
        with self.beneath.folder(path.parent) as folder:
            file = folder.open_file(path.name, follow=self._follows(path))
        return FileIO(file, "rb")

    def read_bytes(self, path: Path) -> bytes:
        """Return the content of the file at `path`.

        Raises
        ------
        UnsafePath, OSError
            As :meth:`open_read`.
        """
        with self.open_read(path) as file:
            return file.readall()

    def listing(self, path: Path) -> list[Listed]:
        """Return what is in the folder at `path`; nothing if there is none.

        Raises
        ------
        UnsafePath
            A link that is not to be followed is there or leads there.
        """
        try:
            with self.beneath.folder(path) as folder:
                return folder.listing()
        except (FileNotFoundError, NotADirectoryError):
            return []

    def look_again(self, path: Path) -> None:
        """Have the system look at the folder at `path` itself, and at all above it.

        A network file system remembers for a while what a folder has, and what it has
        not. Opening a folder, and reading it, has it asked for again (nfs(5), "Data and
        metadata coherence").
        """
        with suppress(OSError, UnsafePath):
            for above in reversed(path.parents):
                if above.is_relative_to(self.root):
                    with self.beneath.folder(above) as folder:
                        folder.open_again()
            self.listing(path)

    def visits(self, project: str) -> list[Visit]:
        """Return the visits whose tarball is in the store directory, by id."""
        found = (
            Visit.of_tarball(project, entry.name)
            for entry in self.listing(self.project_dir(project))
            if self._is_file(project, entry)
        )
        return sorted(visit for visit in found if visit)

    def unusable(self, project: str) -> list[str]:
        """Return the names of tarballs that :meth:`visits` passes over, sorted.

        The name gives no visit id, or is that of no file (a link, a folder).
        """
        return sorted(
            entry.name
            for entry in self.listing(self.project_dir(project))
            if entry.name.endswith(TAR_SUFFIX)
            and not (
                Visit.of_tarball(project, entry.name) and self._is_file(project, entry)
            )
        )

    def projects(self) -> list[str]:
        """Return the names of the folders in the store directory, sorted."""
        wanted = {"folder"} if self.beneath.links == Links.NONE else {"folder", "link"}
        found = (entry.name for entry in self.listing(self.root) if entry.kind in wanted)
        return sorted(name for name in found if name != HIDDEN)

    def _is_file(self, project: str, entry: Listed) -> bool:
        """Return whether a name in a project's folder is that of a file to be read."""
        if entry.kind != "link" or self.beneath.links != Links.ALL:
            return entry.kind == "file"
        with suppress(UnsafePath):
            found = self.stat(self.project_dir(project) / entry.name)
            return found is not None and stat.S_ISREG(found.st_mode)
        return False

    def room(self) -> int:
        """Return the bytes that this user may still write here."""
        found = os.statvfs(self.root)
        return found.f_bavail * found.f_frsize

    def _follows(self, path: Path) -> bool:
        """Return whether the site wants a link at `path` itself to be followed."""
        links = self.beneath.links
        if links == Links.NONE:
            return False
        if path.parent == self.root:
            return path.name != HIDDEN
        of_project = path.parent.parent == self.root
        return links == Links.ALL and of_project and path.name.endswith(TAR_SUFFIX)
