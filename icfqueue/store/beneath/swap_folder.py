"""Put a finished folder in the place of another one."""

from __future__ import annotations

import ctypes
import errno
import os

from icfqueue.core.processes import faultpoint
from icfqueue.store.beneath.folder import Folder

_RENAME_EXCHANGE = 2
_NOT_HERE = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})
"""The C library, the kernel or the file system (NFS) has no exchange."""

Place = tuple[Folder, str]
"""An open folder and a name in it."""


def put_folder(new: Place, target: Place, aside: Place) -> None:
    """Let the folder `new` be `target`; what was there goes.

    Where the file system can exchange two names, `target` is never absent. Elsewhere it
    is between two renames, and :func:`recover` puts the old one back if the process dies
    just there.

    Parameters
    ----------
    new, target, aside
        On one file system. Nothing is at `aside`.

    Raises
    ------
    UnsafePath
        A link is at `target`.
    """
    if not _is_there(target):
        _rename(new, target)
    elif _exchange(new, target):
        new[0].remove(new[1])
    else:
        _rename(target, aside)
        faultpoint.reach(f"between {target[1]}")
        _rename(new, target)
        aside[0].remove(aside[1])


def recover(target: Place, aside: Place) -> None:
    """Undo or finish a :func:`put_folder` during which the process died.

    Raises
    ------
    UnsafePath
        A link is at one of them.
    """
    if not _is_there(aside):
        return
    if _is_there(target):
        aside[0].remove(aside[1])
    else:
        _rename(aside, target)


def _is_there(place: Place) -> bool:
    return place[0].stat(place[1]) is not None


def _rename(one: Place, other: Place) -> None:
    one[0].rename(one[1], *other)


def _exchange(one: Place, other: Place) -> bool:
    """Exchange two names in one step: ``renameat2(2)`` with ``RENAME_EXCHANGE``.

    Returns
    -------
    bool
        False if this system cannot.
    """
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    words = [
        word for folder, name in (one, other) for word in (folder.descriptor, name.encode())
    ]
    if call(*words, _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_HERE:
        return False
    shown = [str(folder.shown / name) for folder, name in (one, other)]
    raise OSError(number, os.strerror(number), shown[0], None, shown[1])
