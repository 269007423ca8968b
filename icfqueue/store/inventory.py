"""Which visits the store directory has anything of."""

from __future__ import annotations

import stat
from contextlib import suppress

from icfqueue.core.errors import PermanentError, UnsafePath
from icfqueue.core.visit import TAR_SUFFIX, Visit, check_id
from icfqueue.store.beneath.walk import HIDDEN
from icfqueue.store.directory import Store
from icfqueue.store.reading import StoreReader

OF_A_STORE = ("broker", "log", "store-id")
"""What lies in the hidden folder of a store directory, not in that of a project."""

_SUFFIXES = (
    TAR_SUFFIX,
    "_metadata_tarball.json",
    "_metadata_dicoms.json",
    "_metadata_references.json",
    "_XDLRA--refs",
    "_XDLRA--repo-export",
)


def present(store: Store, project: str) -> list[Visit]:
    """Return every visit of which the store directory has any file."""
    folder = store.project_dir(check_id(project, "project"))
    found = set()
    for name, _ in store.listing(folder):
        for suffix in _SUFFIXES:
            if not name.endswith(suffix):
                continue
            if visit := Visit.named(project, name.removesuffix(suffix)):
                found.add(visit)
    for name, kind in store.listing(folder / HIDDEN):
        visit = Visit.named(project, name)
        # Commands that were given the project for the store left their own there.
        if visit and kind == "folder" and name not in OF_A_STORE:
            found.add(visit)
    return sorted(found)


def is_project(store: StoreReader, name: str) -> bool:
    """Return whether a folder of the store directory has anything of a visit."""
    with suppress(OSError, UnsafePath):
        listed = store.listing(store.root / name)
        return any(entry.name.endswith(_SUFFIXES) for entry in listed)
    return False


def tarball_here(store: Store, visit: Visit) -> int | None:
    """Return the size in bytes of the tarball in the store directory, None without one.

    Raises
    ------
    PermanentError
        Something else has its name: a folder, a link (UnsafePath).
    """
    path = store.path(visit, visit.tarball)
    found = store.stat(path)
    if found is None:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise PermanentError(
            f"{path} is not a file",
            hint="remove it to have the tarball downloaded",
            cause="unsafe-path",
        )
    return found.st_size
