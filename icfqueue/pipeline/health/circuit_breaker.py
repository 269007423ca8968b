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
``faults:<host>``, ``refused:<project>``
    How often the store failed in a row; how many visits it refused in a row.

Visits that meet a rest wait for its end, and no attempt is counted; nor is one that
fails while the store is known to fail, until it did so for :data:`OUTAGE`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from icfqueue.core.causes import CAUSES
from icfqueue.core.errors import (
    AccessDenied,
    DiskTrouble,
    NetworkTrouble,
    NoRoom,
    NotInStore,
    PutOff,
    StepError,
    StoreBusy,
    TransientError,
)
from icfqueue.core.settings import Settings
from icfqueue.core.steps import FETCH
from icfqueue.core.visit import Visit
from icfqueue.ledger.ledger import Ledger
from icfqueue.ledger.stored.spoilt import number
from icfqueue.remote.http_errors import MAX_RETRY_AFTER

MEMORY = 600.0
"""Seconds for which faults of a store count as being in a row, beyond its rest."""

OUTAGE = 24 * 3600.0
"""Seconds, about, after which a store that does not answer counts against the visits. A
night's outage is to fail none; visits that alone cannot be had must not wait for ever."""

SLOW = 5
"""Faults that count for one that a worker waited for in vain."""

SOON = 5.0
"""Seconds, at most, after which a fetch looks again whether the first was successful."""

_DISK = "rest:disk"


@dataclass(frozen=True, slots=True)
class Noted:
    """A note that keeps visits from going on.

    Attributes
    ----------
    kind
        ``access``, ``disk`` or ``store``.
    """

    kind: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """Keeps workers from trying what is known to fail.

    Attributes
    ----------
    ledger
        Where the notes are that all workers see.
    settings
        How many faults open it, and for how long.
    """

    ledger: Ledger
    settings: Settings

    def raise_if_open(
        self, visit: Visit, step: str, store_url: str, *, here: bool | None = None
    ) -> bool:
        """Raise if a step need not be tried now.

        Parameters
        ----------
        here
            Whether the step's tarball is in the store directory, or it needs none: it
            asks nobody. Unless that is said, only a fetch asks.

        Returns
        -------
        bool
            Whether this visit asks the store first, and others wait for it.

        Raises
        ------
        AccessDenied
            The store refused the project before.
        PutOff
            The disk or the store is being left alone.
        """
        asking = step == FETCH.name if here is None else not here
        host = _host(store_url)
        names = (_hold(visit.project), _DISK, _rest(host), _faults(host))
        if asking and not self.ledger.notes.there(names):
            return False
        if asking and (refused := self.ledger.notes.read(_hold(visit.project), _words)):
            raise AccessDenied(refused["message"], hint=refused["hint"])
        pause = self.settings.disk_pause
        self._raise_if_resting(_DISK, DiskTrouble, visit, step, pause)
        if not asking:
            return False
        pause = self.settings.store_pause
        self._raise_if_resting(_rest(host), StoreBusy, visit, step, pause)
        faults = self.ledger.notes.read(_faults(host), number) or 0
        if faults < self.settings.store_faults:
            return False
        # A fetch that lasts longer than a rest is no sign of trouble: another may ask, too.
        if not self.ledger.locks.take(_probe(host), str(visit), pause):
            cause = StoreBusy(
                f"{host} failed several times in a row; another visit asks it first",
                hint="nothing is to be done: this visit goes on when the store answers",
            )
            cause.at(project=visit.project, visit=visit.id, step=step)
            raise PutOff(cause, min(SOON, pause))
        return True

    def record_failure(
        self, visit: Visit, error: StepError, store_url: str
    ) -> PutOff | None:
        """Leave a note for the others if `error` concerns them.

        Returns
        -------
        PutOff or None
            In place of an error that is the store's known trouble and not the visit's.
        """
        host = _host(store_url)
        if isinstance(error, AccessDenied):
            # A record that names another store than the settings is its visit's affair.
            if not error.elsewhere:
                self._count_refusal(visit, error)
        elif isinstance(error, DiskTrouble) and error.full:
            self._leave(_DISK, error, self.settings.disk_pause)
        elif isinstance(error, StoreBusy) and error.retry_after:
            self._leave(_rest(host), error, error.retry_after)
        elif isinstance(error, NetworkTrouble | StoreBusy):
            return self._count_fault(visit, error, host)
        if isinstance(error, AccessDenied | NotInStore | NoRoom):
            # The store answered: it is well.
            self.record_success(store_url)
        if isinstance(error, NoRoom):
            self.record_access(visit.project)
        self.release_probe(visit, store_url)
        return None

    def record_success(self, store_url: str, project: str = "") -> None:
        """Forget the faults of a store that answered, and what it refused of a project."""
        refused = [_refused(project)] if project else []
        self.ledger.notes.drop(_faults(_host(store_url)), *refused)

    def record_access(self, project: str) -> None:
        """Forget what a store refused of a project that it gave something of."""
        self.ledger.notes.drop(_refused(project))

    def release_probe(self, visit: Visit, store_url: str) -> None:
        """Let another visit ask the store, if `visit` was the one that was to ask first."""
        self.ledger.locks.release(_probe(_host(store_url)), str(visit))

    def reset(self, project: str) -> None:
        """Let the project's fetches ask the store again that refused them."""
        self.ledger.notes.drop(_hold(project))
        self.record_access(project)

    def noted(self, project: str, store_url: str) -> list[Noted]:
        """Return what keeps the project's visits from going on, for who only asks."""
        host = _host(store_url)
        names = {"access": _hold(project), "disk": _DISK, "store": _rest(host)}
        found = {kind: self.ledger.notes.read(name, _words) for kind, name in names.items()}
        return [
            Noted(kind, words["message"], words["hint"])
            for kind, words in found.items()
            if words
        ]

    def _raise_if_resting(
        self,
        name: str,
        kind: type[TransientError],
        visit: Visit,
        step: str,
        pause: float,
    ) -> None:
        """Raise if a rest was noted; one that ends later than any could is cut."""
        words = self.ledger.notes.read(name, _words)
        if words is None:
            return
        cause = kind(words["message"], hint=words["hint"], cause=words.get("cause"))
        cause.at(project=visit.project, visit=visit.id, step=step)
        raise PutOff(cause, self.ledger.notes.ends_in(name, pause, MAX_RETRY_AFTER) + 0.5)

    def _leave(self, name: str, error: StepError, seconds: float | None = None) -> None:
        words = {"message": error.message, "hint": error.hint, "cause": error.cause}
        self.ledger.notes.put(name, json.dumps(words), seconds)

    def _count_refusal(self, visit: Visit, error: AccessDenied) -> None:
        """Hold the project, if it is that and not the visit which is refused."""
        message = error.message
        if error.forbidden:
            refused = self.ledger.notes.count_up(_refused(visit.project), MEMORY)
            if refused < self.settings.store_faults:
                return
            message = f"{refused} visits in a row were refused, the last one so: {message}"
        words = json.dumps({"message": message, "hint": error.hint})
        self.ledger.notes.put(_hold(visit.project), words)

    def _count_fault(self, visit: Visit, error: StepError, host: str) -> PutOff | None:
        """Count a failure of the store; let it rest if there are too many in a row."""
        pause = self.settings.store_pause
        faults = self.ledger.notes.count_up(_faults(host), MEMORY + pause)
        slow = isinstance(error, NetworkTrouble) and error.slow
        if slow and faults < self.settings.store_faults:
            # Each further one would keep a worker from other stores' visits for as long.
            faults = min(self.settings.store_faults, faults + SLOW - 1)
            self.ledger.notes.put(_faults(host), str(faults), MEMORY + pause)
        beyond = faults - self.settings.store_faults
        if beyond >= 0:
            self._leave(_rest(host), error, pause)
        # Only now: the next one to ask must meet the rest.
        self.ledger.locks.release(_probe(host), str(visit))
        return PutOff(error, pause + 0.5) if 0 < beyond <= OUTAGE / pause else None


@dataclass(frozen=True, slots=True)
class Rests:
    """What nobody tries just now.

    Attributes
    ----------
    disk
        Whether the store directory is left alone because it is full.
    stores
        By host: whether the store is left alone.
    held
        By project: whether the store refused access to it.
    """

    disk: bool
    stores: dict[str, bool]
    held: dict[str, bool]


def rests(ledger: Ledger, store_urls: Iterable[str], projects: Iterable[str]) -> Rests:
    """Return what nobody tries just now, of these stores and projects."""
    there = ledger.notes.there
    return Rests(
        there([_DISK]),
        {host: there([_rest(host)]) for host in sorted(map(_host, store_urls))},
        {project: there([_hold(project)]) for project in projects},
    )


_MOST_WORDS = 10_000
"""Characters of a note that somebody reads."""


def _words(text: str) -> dict[str, str] | None:
    """Return message and hint of a note, and the cause if it has one; else None."""
    try:
        found = json.loads(text) if len(text) <= _MOST_WORDS else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    words = {name: found.get(name) for name in ("message", "hint", "cause")}
    if words["cause"] not in CAUSES:
        # Of an older release, or a stranger.
        del words["cause"]
    strings = {name: word for name, word in words.items() if isinstance(word, str)}
    return strings if strings.keys() == words.keys() else None


def _hold(project: str) -> str:
    return f"hold:{project}"


def _refused(project: str) -> str:
    return f"refused:{project}"


def _rest(host: str) -> str:
    return f"rest:{host}"


def _faults(host: str) -> str:
    return f"faults:{host}"


def _probe(host: str) -> str:
    return f"probe:{host}"


def _host(store_url: str) -> str:
    """Return host and port of a store; no user or password becomes part of a key."""
    return urlsplit(store_url).netloc.rpartition("@")[2]
