"""The id of a store directory: tells it from an empty mount point and from other stores.

It is a file in the store directory, so it moves with it, and is noted at the broker, too
(:mod:`icfqueue.pipeline.health.store_watch`).
"""

from __future__ import annotations

import os
import secrets
import shlex
from contextlib import suppress
from pathlib import Path

from icfqueue.core.errors import OtherStore
from icfqueue.core.visit import is_store_id
from icfqueue.store.beneath.folder import Folder
from icfqueue.store.beneath.walk import HIDDEN
from icfqueue.store.directory import Store

NAME = "store-id"
"""Name of the file in the store directory's hidden folder."""


def path_of(store: Store) -> Path:
    """Return where the id lies."""
    return store.root / HIDDEN / NAME


def read(store: Store) -> str | None:
    """Return the id of the store directory, None if it has none.

    Raises
    ------
    OtherStore
        The file is no id.
    """
    try:
        found = store.read_bytes(path_of(store))
    except (FileNotFoundError, NotADirectoryError):
        return None
    text = found.decode("ascii", "replace").strip()
    if not is_store_id(text):
        raise OtherStore(
            f"{path_of(store)} holds no id of a store",
            hint="it has 32 hexadecimal digits; 'icfqueue doctor' names the broker's",
        )
    return text


def make(store: Store) -> str:
    """Give the store directory an id, unless it has one; return it.

    Of several that do this at once one succeeds, and all return its id.
    """
    with store.beneath.made(store.root / HIDDEN) as folder:
        new = f"{NAME}.{secrets.token_hex(4)}"
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR
        with open(folder.open_file(new, flags), "wb") as file:
            file.write(f"{secrets.token_hex(16)}\n".encode())
            file.flush()
            os.fsync(file.fileno())
            store.beneath.share(file.fileno(), 0o666)
        _name_if_free(folder, new)
    found = read(store)
    if found is None:
        raise OtherStore(
            f"{path_of(store)} was made and is not there",
            hint="is the file system mounted, and the same on all machines? try again",
        )
    return found


def _name_if_free(folder: Folder, new: str) -> None:
    """Let the file `new` be the id if there is none yet: one step, one winner."""
    try:
        with suppress(FileExistsError):
            folder.link(new, folder, NAME)
    except OSError:
        # A file system without second names; two at once are then told apart by who
        # renames last, and the other notices at its first claim.
        if folder.stat(NAME) is None:
            folder.rename(new, folder, NAME)
    finally:
        folder.unlink(new)


def missing(store: Store, wanted: str) -> OtherStore:
    """Return the error for a folder that has no id, though the broker knows one."""
    return OtherStore(
        f"{store.root} is not the store that this broker works for: it has no "
        f"{HIDDEN}/{NAME}. Is it mounted?",
        hint=f"if it is that store and the file was lost: {_remedy(store, wanted)}",
    )


def differs(store: Store, found: str, wanted: str) -> OtherStore:
    """Return the error for a store with another id than the broker knows."""
    return OtherStore(
        f"{store.root} is the store {found[:8]}…, but this broker works for the store "
        f"{wanted[:8]}…",
        hint="give it a broker of its own, or another database of this one "
        "(redis://host/1). If it took that one's place: " + _remedy(store, wanted),
    )


def _remedy(store: Store, wanted: str) -> str:
    path = path_of(store)
    folder, file = shlex.quote(str(path.parent)), shlex.quote(str(path))
    return f"mkdir -p {folder} && echo {shlex.quote(wanted)} > {file}"
