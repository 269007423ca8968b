"""Trouble that concerns more than one visit: a full disk, a store that fails or refuses.

What one worker finds, the others need not find again. Notes in the ledger say so:

``hold:<project>``
    The store refused access to the project (401, or 403 for ``store_faults`` visits in a
    row; a single 403 may be one file's mode): every fetch fails with the same message,
    without asking the store, until ``icfqueue retry`` or ``enqueue`` lifts it.
``rest:disk``
    The store directory is full: no step begins until the note ends.
``rest:<host>``
    The store failed several times in a row, or once so slowly that others were kept
    waiting, or asked to wait: no fetch asks it until the note ends. After a rest because
    of failures one fetch asks first, the others go on when it was successful (a circuit
    breaker that is half open).

Visits that meet a rest wait for its end, and no attempt is counted; nor is one that
fails while the store is known to fail, until it did so for :data:`OUTAGE`.
"""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from icfqueue.core.errors import (
    AccessDenied,
    DiskTrouble,
    IcfqueueError,
    NetworkTrouble,
    NoRoom,
    NotInStore,
    StepError,
    StoreBusy,
    TransientError,
)
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.ledger.ledger import Ledger
from icfqueue.steps.job import Options

FETCH = "fetch"
MEMORY = 600.0
"""Seconds for which faults of a store count as being in a row, beyond its rest."""

OUTAGE = 24 * 3600.0
"""Seconds, about, after which a store that does not answer counts against the visits. A
night's outage is to fail none; visits that alone cannot be had must not wait for ever."""

SLOW = 5
"""Faults that count for one that a worker waited for in vain."""

SOON = 5.0
"""Seconds, at most, after which a fetch looks again whether the first was successful."""


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


def check(
    ledger: Ledger,
    settings: Settings,
    visit: Visit,
    step: str,
    store_url: str,
    *,
    here: bool = False,
) -> None:
    """Raise if a step need not be tried now.

    Parameters
    ----------
    here
        The tarball is in the store directory: fetching it asks nobody.

    Raises
    ------
    AccessDenied
        The store refused the project before.
    PutOff
        The disk or the store is being left alone.
    """
    host = _host(store_url)
    asking = step == FETCH and not here
    notes: list[tuple[str, type[TransientError]]] = [("rest:disk", DiskTrouble)]
    if asking:
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
    if not asking or int(ledger.note(f"faults:{host}") or 0) < settings.store_faults:
        return
    # A fetch that lasts longer than a rest is no sign of trouble: another may ask, too.
    if not ledger.lock(f"probe:{host}", str(visit), settings.store_pause):
        cause = StoreBusy(
            f"{host} failed several times in a row; another visit asks it first",
            hint="nothing is to be done: this visit goes on when the store answers",
        )
        cause.at(project=visit.project, visit=visit.id, step=step)
        raise PutOff(cause, min(SOON, settings.store_pause))


def note(
    ledger: Ledger, settings: Settings, visit: Visit, error: StepError, options: Options
) -> PutOff | None:
    """Leave a note for the others if `error` concerns them.

    Returns
    -------
    PutOff or None
        In place of an error that is the store's known trouble and not the visit's.
    """
    host = _host(options.store_url)
    words = json.dumps({"message": error.message, "hint": error.hint})
    if isinstance(error, AccessDenied):
        _count_refusal(ledger, settings, visit, error)
    elif isinstance(error, DiskTrouble) and error.full:
        ledger.put_note("rest:disk", words, settings.disk_pause)
    elif isinstance(error, StoreBusy) and error.retry_after:
        ledger.put_note(f"rest:{host}", words, error.retry_after)
    elif isinstance(error, NetworkTrouble | StoreBusy):
        return _count_fault(ledger, settings, visit, error, host)
    if isinstance(error, AccessDenied | NotInStore | NoRoom):
        well(ledger, options)
    if isinstance(error, NoRoom):
        given(ledger, visit.project)
    probed(ledger, visit, options)
    return None


def _count_refusal(
    ledger: Ledger, settings: Settings, visit: Visit, error: AccessDenied
) -> None:
    """Hold the project, if it is that and not the visit which is refused."""
    message = error.message
    if error.forbidden:
        refused = ledger.count_up(_refused(visit.project), MEMORY)
        if refused < settings.store_faults:
            return
        message = f"{refused} visits in a row were refused, the last one so: {message}"
    words = json.dumps({"message": message, "hint": error.hint})
    ledger.put_note(f"hold:{visit.project}", words)


def _count_fault(
    ledger: Ledger, settings: Settings, visit: Visit, error: StepError, host: str
) -> PutOff | None:
    """Count a failure of the store; let it rest if there are too many in a row."""
    pause = settings.store_pause
    faults = ledger.count_up(f"faults:{host}", MEMORY + pause)
    if isinstance(error, NetworkTrouble) and error.slow and faults < settings.store_faults:
        # Each further one would keep a worker from other stores' visits for as long.
        faults = min(settings.store_faults, faults + SLOW - 1)
        ledger.put_note(f"faults:{host}", str(faults), MEMORY + pause)
    beyond = faults - settings.store_faults
    if beyond >= 0:
        words = json.dumps({"message": error.message, "hint": error.hint})
        ledger.put_note(f"rest:{host}", words, pause)
    # Only now: the next one to ask must meet the rest.
    ledger.unlock(f"probe:{host}", str(visit))
    return PutOff(error, pause + 0.5) if 0 < beyond <= OUTAGE / pause else None


def probed(ledger: Ledger, visit: Visit, options: Options) -> None:
    """Let another visit ask the store, if `visit` was the one that was to ask first."""
    ledger.unlock(f"probe:{_host(options.store_url)}", str(visit))


def well(ledger: Ledger, options: Options) -> None:
    """Forget the faults of a store that answered."""
    ledger.drop_note(f"faults:{_host(options.store_url)}")


def given(ledger: Ledger, project: str) -> None:
    """Forget what a store refused of a project that it gave something of."""
    ledger.drop_note(_refused(project))


def lift(ledger: Ledger, project: str) -> None:
    """Let the project's fetches ask the store again."""
    ledger.drop_note(f"hold:{project}")
    given(ledger, project)


def _refused(project: str) -> str:
    return f"refused:{project}"


def uncounted_wait(error: StepError, settings: Settings) -> float | None:
    """Return how long to wait without counting the attempt, or None to count it.

    A full disk is no visit's fault, nor is a tarball that does not fit; neither is a
    store that says when to come back.
    """
    if isinstance(error, NoRoom):
        return settings.disk_pause
    if isinstance(error, DiskTrouble):
        return settings.disk_pause if error.full else None
    # "Retry-After: 0" names no time: taken at its word, it would be tried without end.
    if isinstance(error, TransientError) and error.retry_after:
        return error.retry_after
    return None


def _host(store_url: str) -> str:
    """Return host and port of a store; no user or password becomes part of a key."""
    return urlsplit(store_url).netloc.rpartition("@")[2]
