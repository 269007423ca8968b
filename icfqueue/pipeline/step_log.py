"""What the log says of steps: in words, and as fields for who collects logs."""

from __future__ import annotations

import logging

from icfqueue.core import steps
from icfqueue.core.errors import Interrupted, StepError, Withdrawn
from icfqueue.core.options import Outcome
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import Record, State

log = logging.getLogger(__name__)


def say(
    action: str, visit: Visit, step: str, *, level: int = logging.INFO, **more: object
) -> None:
    """Log what happens to a visit: as words, and as fields for who collects logs."""
    extra = {"action": action, "project": visit.project, "visit": visit.id, "step": step}
    words = "".join(f" {name}={value}" for name, value in more.items())
    log.log(level, "%s %s %s%s", action, visit, step, words, extra=extra | more)


def say_outcome(
    visit: Visit,
    step: str,
    changed: Record,
    result: Outcome | StepError | Withdrawn,
    work_seconds: float,
) -> None:
    """Log how an attempt ended.

    Parameters
    ----------
    work_seconds
        Seconds of the step's own work: without claiming, asking and recording, which the
        record's seconds have in them.
    """
    if isinstance(result, Outcome):
        seconds = changed.steps[steps.position(step)].seconds
        say(
            "step.done",
            visit,
            step,
            worked=result.worked,
            seconds=seconds,
            work_seconds=work_seconds,
        )
    elif isinstance(result, Interrupted):
        say("step.given_back", visit, step)
    else:
        # The reason is in the record alone: it may name a member, hence a person.
        say(
            f"step.{changed.state}",
            visit,
            step,
            level=logging.ERROR if changed.state == State.FAILED else logging.WARNING,
            error=type(result).__name__,
            attempt=changed.steps[steps.position(step)].attempts,
            see=f"'icfqueue status {visit.project} {visit.id}'",
        )
