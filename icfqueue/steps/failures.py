"""What an exception that a step raised means for its visit."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

from icfqueue.core.errors import PermanentError, StepError, TransientError
from icfqueue.store.beneath.sharing import remedy
from icfqueue.store.beneath.walk import HIDDEN
from icfqueue.store.disk import as_disk_trouble

log = logging.getLogger(__name__)


def as_step_error(error: Exception) -> StepError:
    """Return the step's error that `error` stands for, itself if it is one.

    Errors of the disk are transient, as are others of the system; a file that may not be
    read or written is not, and neither is what nobody foresaw. A work folder that keeps
    the group out is: its owner's worker can take the visit, and may be told meanwhile.
    """
    if isinstance(error, StepError):
        return error
    if isinstance(error, OSError) and (found := as_disk_trouble(error)):
        return found
    if isinstance(error, PermissionError):
        if mend := _remedy_of_work(error):
            return TransientError(
                f"{error.strerror} ({error.filename})",
                hint=f"{mend}. The visit is tried again",
                cause="permission",
            )
        return PermanentError(
            f"{error.strerror} ({error.filename or 'in the store directory'})",
            hint="look at owner and group of the file and its folder, and at the umask of "
            "who made them: the workers must be able to read and write there; then "
            "'icfqueue retry PROJECT VISIT'",
            cause="permission",
        )
    if isinstance(error, OSError | MemoryError):
        memory = isinstance(error, MemoryError)
        what = "out of memory" if memory else getattr(error, "strerror", None) or "no word"
        where = getattr(error, "filename", None)
        return TransientError(
            f"{type(error).__name__}: {what}{f' ({where})' if where else ''}",
            hint="the visit is tried again; the worker's log has more",
            cause="memory" if memory else "system",
        )
    # Frames only: the exception's own words may hold a DICOM value or a credential.
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("unexpected %s\n%s", type(error).__name__, frames)
    return PermanentError(
        f"unexpected {type(error).__name__}: this is a fault of icfqueue",
        hint="the worker's log has the traceback; please report it",
    )


def _remedy_of_work(error: PermissionError) -> str | None:
    """Return what mends the rights of a work folder, None if it is about something else."""
    if not isinstance(error.filename, str):
        return None
    path = Path(error.filename)
    if HIDDEN not in path.parts:
        return None
    return remedy(path, HIDDEN) or (
        f"look at owner, group and mode of {path.parent}, and at the umask of the workers"
    )
