"""Put a finished folder in the place of another one."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from pathlib import Path

from icfqueue.core import faultpoint

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NOT_HERE = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})
"""The C library, the kernel or the file system (NFS) has no exchange."""


def put_folder(new: Path, target: Path, aside: Path) -> None:
    """Let the folder `new` be `target`; what was there goes.

    Where the file system can exchange two names, `target` is never absent. Elsewhere it
    is between two renames, and :func:`recover` puts the old one back if the process dies
    just there.

    Parameters
    ----------
    new, target, aside
        On one file system. Nothing is at `aside`.
    """
    if not target.exists():
        new.rename(target)
    elif _exchange(new, target):
        shutil.rmtree(new, ignore_errors=True)
    else:
        target.rename(aside)
        faultpoint.reach(f"between {target.name}")
        new.rename(target)
        shutil.rmtree(aside, ignore_errors=True)


def recover(target: Path, aside: Path) -> None:
    """Undo or finish a :func:`put_folder` during which the process died."""
    if not aside.exists():
        return
    if target.exists():
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.rename(target)


def _exchange(one: Path, other: Path) -> bool:
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
    done = call(
        _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE
    )
    if done == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_HERE:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))
