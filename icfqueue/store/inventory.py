"""Which visits the store directory has anything of."""

from __future__ import annotations

import errno
import stat

from icfqueue.core.errors import PermanentError
from icfqueue.core.visit import TAR_SUFFIX, Visit, check_id
from icfqueue.store.directory import HIDDEN, Store

OF_A_STORE = ("broker", "log")
"""What lies in the hidden folder of a store directory, not in that of a project."""

_SUFFIXES = (
    TAR_SUFFIX,
    "_metadata_tarball.json",
    "_metadata_dicoms.json",
    "_XDLRA--refs",
    "_XDLRA--repo-export",
)


def present(store: Store, project: str) -> list[Visit]:
    """Return every visit of which the store directory has any file."""
    folder = store.project_dir(check_id(project, "project"))
    found = set()
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    for name in names:
        for suffix in _SUFFIXES:
            if not name.endswith(suffix):
                continue
            if visit := Visit.named(project, name.removesuffix(suffix)):
                found.add(visit)
    begun = folder / HIDDEN
    if begun.is_dir():
        for path in begun.iterdir():
            visit = Visit.named(project, path.name)
            # Commands that were given the project for the store left their own there.
            if visit and path.is_dir() and path.name not in OF_A_STORE:
                found.add(visit)
    return sorted(found)


def tarball_here(store: Store, visit: Visit) -> int | None:
    """Return the size in bytes of the tarball in the store directory, None without one.

    Raises
    ------
    PermanentError
        Something else has its name: a folder, a link that leads nowhere.
    """
    path = store.path(visit, visit.tarball)
    try:
        found = path.stat()
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ELOOP}:
            raise
        if not path.is_symlink():
            return None
        raise PermanentError(
            f"{path} is a symbolic link to {path.readlink()}, which is not there",
            hint="remove the link to have the tarball downloaded, or bring its target back",
        ) from None
    if not stat.S_ISREG(found.st_mode):
        raise PermanentError(
            f"{path} is not a file", hint="remove it to have the tarball downloaded"
        )
    return found.st_size
