"""What a run was asked for: a project, or some visits of it, for which it then answers."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from icfqueue.cli.shell.again import this_again
from icfqueue.core.visit import Visit
from icfqueue.ledger.ledger import Ledger, Unreadable
from icfqueue.ledger.record import State
from icfqueue.operations import status
from icfqueue.operations.status import ProjectSummary
from icfqueue.overview.failures import CauseGroup, by_cause

SPARING = 20
"""How many times as long as a look at the visits named takes it is until the next one."""


@dataclass
class Asked:
    """A project, or some visits of it.

    Attributes
    ----------
    visits
        The visits named; None for all of the project.
    names
        Ids and globs, as they were typed.
    others
        There are visits here, or recorded, that were not named.
    sizes
        Bytes of tarballs that are to come, as far as the store's listing tells them.
    """

    ledger: Ledger
    project: str
    visits: Collection[Visit] | None = None
    names: Sequence[str] = ()
    others: bool = True
    sizes: Mapping[Visit, int] = field(default_factory=dict)
    _known: ProjectSummary | None = field(default=None, init=False)
    _next: float = field(default=0.0, init=False)

    def summary(self) -> ProjectSummary:
        """Return how far it is; of many visits named, how far they were a moment ago."""
        if self.visits is None:
            return status.summary(self.ledger, self.project)
        began = time.monotonic()
        if self._known is None or began >= self._next:
            self._known = status.summary_of(self.ledger, self.project, self.visits)
            self._next = began + SPARING * (time.monotonic() - began)
        return self._known

    def end(self) -> ProjectSummary:
        """Return how far it is now."""
        self._next = 0.0
        return self.summary()

    def stuck(self) -> list[Unreadable]:
        """Return the active visits if none of them can be read, else nothing."""
        return status.stuck(self.ledger, self.project, self.visits)

    def failures(self) -> list[CauseGroup]:
        """Return why visits failed, also those that nobody can read."""
        among = self.in_state(State.FAILED) + [one.visit for one in self.stuck()]
        return by_cause(self.ledger, self.project, among=among)

    def in_state(self, state: State) -> list[Visit]:
        """Return the visits in a state, by id."""
        found = self.ledger.visits(self.project, [state])
        if self.visits is None:
            return found
        wanted = set(self.visits)
        return [visit for visit in found if visit in wanted]

    def left_over(self) -> int:
        """Return how many visits that were not named are still to go on."""
        if self.visits is None:
            return 0
        return status.summary(self.ledger, self.project).active - self.end().active

    def again(self) -> str:
        """Return the shortest command that goes on with it.

        What was enqueued is recorded, and so found without the store; and visits need not
        be named where there are no others.
        """
        needless = [] if self.others else ["visits", "visits_file"]
        if self.visits is None or not self.others:
            needless.append("remote")
        return this_again("run", self.project, without=needless)
