"""From a project to its visits, and from visits to the queue.

Planning looks at store and records and changes nothing; ``--dry-run`` ends there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum

from icfqueue.core import steps
from icfqueue.core.errors import StepError, UnreadableRecord, UnsafePath
from icfqueue.core.options import Options
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.ledger import Entry, Ledger, Unreadable
from icfqueue.ledger.record import Record, State
from icfqueue.pipeline.catalog_schedule import send_flush
from icfqueue.pipeline.health.circuit_breaker import CircuitBreaker
from icfqueue.pipeline.messages import Messages
from icfqueue.store.directory import Store

CHUNK = 500
"""Visits that are written and sent together, so that the first is soon under way."""


class Deed(StrEnum):
    """The ways to deal with a visit."""

    ENQUEUE = "to be processed"
    """It goes, or goes again, through all steps."""
    LEAVE = "under way already"
    """It is queued, running or waiting already."""
    UP_TO_DATE = "up to date"
    """It is complete."""
    UNREADABLE = "left alone, whose records cannot be read"
    """Its record cannot be read."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The way to deal with one visit, and why."""

    visit: Visit
    deed: Deed
    why: str
    entry: Entry | None = None


@dataclass(frozen=True, slots=True)
class Enqueued:
    """The result of a request, as numbers of visits."""

    enqueued: int
    left: int
    up_to_date: int
    unreadable: int = 0


@dataclass
class Producer:
    """Hands visits over to the queue.

    Attributes
    ----------
    settings, store, ledger, messages
        Where everything is.
    """

    settings: Settings
    store: Store
    ledger: Ledger
    messages: Messages

    @property
    def breaker(self) -> CircuitBreaker:
        """Closed again by a new try."""
        return CircuitBreaker(self.ledger, self.settings)

    def plan(self, visits: Sequence[Visit], options: Options) -> list[Plan]:
        """Return what enqueueing `visits` with `options` would do."""
        entries = self.ledger.get_many(visits)
        return [
            _left_alone(entry)
            if isinstance(entry, Unreadable)
            else self._plan_any(visit, entry, options)
            for visit, entry in zip(visits, entries, strict=True)
        ]

    def _plan_any(self, visit: Visit, entry: Entry | None, options: Options) -> Plan:
        try:
            return self._plan(visit, entry, options)
        except StepError as error:
            # Its steps will say the same of it, and the others are planned.
            return Plan(visit, Deed.ENQUEUE, error.message, entry)

    def _plan(self, visit: Visit, entry: Entry | None, options: Options) -> Plan:
        found = entry.record if entry else None
        if options.force:
            return Plan(visit, Deed.ENQUEUE, "--force was given", entry)
        if found and found.active:
            return Plan(
                visit, Deed.LEAVE, f"under way: {found.state} at {found.step}", entry
            )
        if found and found.state in {State.FAILED, State.CANCELLED}:
            return Plan(visit, Deed.ENQUEUE, f"{found.state} at {found.step} before", entry)
        if found and (missing := self._missing(visit, found, options)):
            return Plan(visit, Deed.ENQUEUE, missing, entry)
        if found:
            return Plan(visit, Deed.UP_TO_DATE, "complete: every output is there", entry)
        here = self._has(visit, visit.tarball)
        obtained = "streamed" if options.stream else "downloaded"
        why = "new" if here else f"new, to be {obtained}"
        return Plan(visit, Deed.ENQUEUE, why, entry)

    def _missing(self, visit: Visit, found: Record, options: Options) -> str:
        """Return what a visit that is done lacks, or an empty string."""
        checks = (self._tarball_differs, self._output_missing, self._still_to_remove)
        return next(filter(None, (check(visit, found, options) for check in checks)), "")

    def _tarball_differs(self, visit: Visit, found: Record, options: Options) -> str:
        here = self.store.fingerprint(self.store.path(visit, visit.tarball))
        if options.store_url != found.options.store_url:
            return "its dataset names another store URL"
        if here and here.size != found.tar_bytes:
            return "the tarball has changed"
        if here and here != found.fingerprint:
            return "the tarball was touched: its MD5 is to be compared"
        return ""

    def _output_missing(self, visit: Visit, found: Record, options: Options) -> str:
        from icfqueue.catalog import study
        from icfqueue.outputs import completeness, deposit

        there = deposit.read(self.store, visit)
        if there is None:
            return "the dataset is missing"
        if there.source and completeness.is_outdated(there.source, self.store, visit):
            return "the dataset is of an older format"
        if not (options.remove_metadata or found.options.remove_metadata):
            for name in (visit.metadata_tarball, visit.metadata_dicoms):
                if not self._has(visit, name):
                    return f"{name} is missing"
        if options.catalog and not study.has_page(self.store, visit, options.store_url):
            return "its catalog page is missing"
        return ""

    def _has(self, visit: Visit, name: str) -> bool:
        return self.store.exists(self.store.path(visit, name))

    def _still_to_remove(self, visit: Visit, _: Record, options: Options) -> str:
        if options.remove_tarball and self._has(visit, visit.tarball):
            return "the tarball is to be removed"
        if options.remove_metadata and self._has(visit, visit.metadata_tarball):
            return "the metadata are to be removed"
        return ""

    def enqueue(
        self, plans: Iterable[Plan], options: Options, priority: int = 0
    ) -> Enqueued:
        """Enqueue what was planned.

        Two producers may do this at once: the record decides, and who comes second
        leaves the visit alone, unless it is to be forced.
        """
        counts = dict.fromkeys(Deed, 0)
        wanted = []
        for plan in plans:
            if plan.deed == Deed.ENQUEUE:
                wanted.append(plan)
            else:
                counts[plan.deed] += 1
        if wanted:
            self.breaker.reset(wanted[0].visit.project)
        for start in range(0, len(wanted), CHUNK):
            now = self.ledger.now()
            pairs = [
                (plan.entry, self._new_record(plan, options, priority, now))
                for plan in wanted[start : start + CHUNK]
            ]
            written = self.ledger.put_many(pairs)
            fresh = [new for (_, new), done in zip(pairs, written, strict=True) if done]
            if options.force:
                results = zip(pairs, written, strict=True)
                missed = [new for (_, new), done in results if not done]
                fresh += self._forced(missed, options, priority, now)
            self.messages.send_many(fresh)
            counts[Deed.ENQUEUE] += len(fresh)
            counts[Deed.LEAVE] += len(pairs) - len(fresh)
        return Enqueued(
            counts[Deed.ENQUEUE],
            counts[Deed.LEAVE],
            counts[Deed.UP_TO_DATE],
            counts[Deed.UNREADABLE],
        )

    def _new_record(
        self, plan: Plan, options: Options, priority: int, now: float
    ) -> Record:
        if plan.entry:
            fresh = record.enqueued(plan.entry.record, options, priority, now)
        else:
            fresh = record.new(plan.visit, options, priority, now)
        try:
            present = self.store.stat(self.store.path(plan.visit, plan.visit.tarball))
        except UnsafePath:
            return fresh
        return fresh.with_size(present.st_size) if present else fresh

    def _forced(
        self, missed: Iterable[Record], options: Options, priority: int, now: float
    ) -> list[Record]:
        """Enqueue those whose record changed after it was planned, as it is by now."""
        changes = {new.visit: _anew(new, options, priority, now) for new in missed}
        found = self.ledger.update_many(changes)
        return [entry.record for entry in found.values() if entry]

    def retry(
        self, visits: Iterable[Visit], states: Iterable[State], *, accepted_by: str = ""
    ) -> list[Visit]:
        """Let those of `visits` that are in `states` go on from where they stopped.

        Parameters
        ----------
        accepted_by
            Who accepts the identifiers that were found in them; nobody if empty.
        """
        wanted = set(states)
        now = self.ledger.now()
        again = []

        def resumed(found: Record) -> Record | None:
            if found.state not in wanted:
                return None
            if accepted_by and found.identifiers:
                said = replace(found.identifiers, accepted_by=accepted_by, accepted_at=now)
                found = replace(found, identifiers=said)
            return record.resumed(found, now)

        for visit in visits:
            # One that cannot be read is left alone: the caller sees which were not done.
            with suppress(UnreadableRecord):
                changed = self.ledger.update(visit, resumed)
                if changed:
                    again.append(changed)
        for project in {changed.visit.project for changed in again}:
            self.breaker.reset(project)
            send_flush(self.ledger, self.messages, project)
        self.messages.send_many(
            changed for changed in again if changed.step != steps.UPDATE_CATALOG.name
        )
        return [changed.visit for changed in again]

    def cancel(self, visits: Iterable[Visit]) -> list[Visit]:
        """Withdraw those of `visits` that are still to be done; works with no worker."""
        now = self.ledger.now()
        gone = []
        for visit in visits:
            # One that cannot be read is left alone: the caller sees which were not done.
            with suppress(UnreadableRecord):
                if self._cancel(visit, now):
                    gone.append(visit)
        return gone

    def _cancel(self, visit: Visit, now: float) -> bool:
        entry = self.ledger.get(visit)
        changed = self.ledger.update(
            visit, lambda found: record.cancelled(found, now) if found.active else None
        )
        # The worker of a running visit does this when it notices.
        if changed and entry and entry.record.state != State.RUNNING:
            self.store.try_forget_work(visit)
        return changed is not None


def _left_alone(found: Unreadable) -> Plan:
    """Return the plan for a visit whose record cannot be read."""
    hint = found.hint or f"'icfqueue forget {found.visit.project} {found.visit.id}'"
    why = f"its record cannot be read: {found.why} ({hint})"
    return Plan(found.visit, Deed.UNREADABLE, why)


def _anew(
    new: Record, options: Options, priority: int, now: float
) -> Callable[[Record], Record]:
    """Return the change from any record of a visit to one that begins as `new` does."""

    def change(found: Record) -> Record:
        fresh = record.enqueued(found, options, priority, now)
        return fresh if new.tar_bytes is None else fresh.with_size(new.tar_bytes)

    return change
