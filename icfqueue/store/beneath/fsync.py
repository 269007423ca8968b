"""Have files, and the names in folders, outlast a loss of power."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence

SYNCING = 4
"""Files that are written to disk at the same time; more is no faster."""


def to_disk(tasks: Sequence[Callable[[], None]]) -> None:
    """Do each of `tasks`, which flush a file; several wait for the disk at a time."""
    if len(tasks) == 1:
        tasks[0]()
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(SYNCING) as pool:
        # The list has what was raised raised here.
        list(pool.map(lambda task: task(), tasks))


def sync_folder(place: int) -> None:
    """Have the names in an open folder durable; some file systems refuse that."""
    # A descriptor that is only a place cannot be flushed.
    held = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=place)
    try:
        os.fsync(held)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
    finally:
        os.close(held)


_NO_FSYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})
"""What file systems say that cannot fsync a folder."""
