"""Trouble that concerns more than one visit: a full disk, a store that fails or refuses.

What one worker finds, the others need not find again. Notes in the ledger say so:

``hold:<project>``
    The store refused access to the project: every fetch fails with the same message,
    without asking the store, until ``icfqueue retry`` or ``enqueue`` lifts it.
``rest:disk``
    The store directory is full or broken: no step begins until the note ends.
``rest:<host>``
    The store failed several times in a row, or asked to wait: no fetch asks it until
    the note ends.

Visits that meet a rest wait for its end, and no attempt is counted.
"""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from icfqueue.errors import (
    AccessDenied,
    DiskTrouble,
    IcfqueueError,
    NetworkTrouble,
    StepError,
    StoreBusy,
    TransientError,
)
from icfqueue.job import Options
from icfqueue.ledger import Ledger
from icfqueue.settings import Settings
from icfqueue.visit import Visit

FETCH = "fetch"
MEMORY = 600.0
"""Seconds for which faults of a store count as being in a row."""


class PutOff(IcfqueueError):
    """The step is put off, because trouble is known already.

    Parameters
    ----------
    cause
        What the record shows meanwhile.
    seconds
        For how long.
    """

    def __init__(self, cause: StepError, seconds: float) -> None:
        super().__init__(cause.message, hint=cause.hint)
        self.cause = cause
        self.seconds = seconds


def check(ledger: Ledger, visit: Visit, step: str, store_url: str) -> None:
    """Raise if a step need not be tried now.

    Raises
    ------
    AccessDenied
        The store refused the project before.
    PutOff
        The disk or the store is being left alone.
    """
    host = urlsplit(store_url).netloc.rpartition("@")[2]
    notes: list[tuple[str, type[TransientError]]] = [("rest:disk", DiskTrouble)]
    if step == FETCH:
        if refused := ledger.note(f"hold:{visit.project}"):
            words = json.loads(refused)
            raise AccessDenied(words["message"], hint=words["hint"])
        notes.append((f"rest:{host}", StoreBusy))
    for name, kind in notes:
        if (text := ledger.note(name)) is not None:
            words = json.loads(text)
            cause = kind(words["message"], hint=words["hint"])
            cause.at(project=visit.project, visit=visit.id, step=step)
            raise PutOff(cause, ledger.note_ends(name) + 0.5)


def note(
    ledger: Ledger, settings: Settings, visit: Visit, error: StepError, options: Options
) -> None:
    """Leave a note for the others if `error` concerns them."""
    host = urlsplit(options.store_url).netloc.rpartition("@")[2]
    words = json.dumps({"message": error.message, "hint": error.hint})
    if isinstance(error, AccessDenied):
        ledger.put_note(f"hold:{visit.project}", words)
    elif isinstance(error, DiskTrouble):
        ledger.put_note("rest:disk", words, settings.disk_pause)
    elif isinstance(error, StoreBusy) and error.retry_after:
        ledger.put_note(f"rest:{host}", words, error.retry_after)
    elif (
        isinstance(error, NetworkTrouble | StoreBusy)
        and ledger.count_up(f"faults:{host}", MEMORY) >= settings.store_faults
    ):
        ledger.put_note(f"rest:{host}", words, settings.store_pause)


def well(ledger: Ledger, options: Options) -> None:
    """Forget the faults of a store that answered."""
    ledger.drop_note(f"faults:{urlsplit(options.store_url).netloc.rpartition('@')[2]}")


def lift(ledger: Ledger, project: str) -> None:
    """Let the project's fetches ask the store again."""
    ledger.drop_note(f"hold:{project}")


def uncounted_wait(error: StepError, settings: Settings) -> float | None:
    """Return how long to wait without counting the attempt, or None to count it.

    A full disk is no visit's fault; neither is a store that says when to come back.
    """
    if isinstance(error, DiskTrouble):
        return settings.disk_pause if error.full else None
    # "Retry-After: 0" names no time: taken at its word, it would be tried without end.
    if isinstance(error, TransientError) and error.retry_after:
        return error.retry_after
    return None
