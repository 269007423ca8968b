"""Have files, and the names in folders, outlast a loss of power."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

SYNCING = 4
"""Files that are written to disk at the same time; more is no faster."""


def to_disk(files: Sequence[Path]) -> None:
    """Have `files` durable on disk; several wait for the disk at the same time."""
    if len(files) == 1:
        _fsync(files[0])
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(SYNCING) as pool:
        # The list has what was raised raised here.
        list(pool.map(_fsync, files))


def _fsync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Have the names in `folder` durable; some file systems refuse that for folders."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(held)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
    finally:
        os.close(held)


_NO_FSYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})
"""What file systems say that cannot fsync a folder."""
