"""What the log says of steps: in words, and as fields for who collects logs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from icfqueue.core import steps
from icfqueue.core.errors import Interrupted, StepError, Withdrawn
from icfqueue.core.options import Outcome
from icfqueue.core.plain_text import shown
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import Record, State

log = logging.getLogger(__name__)

MOST_WORDS = 500
"""Characters of what is said of a visit that failed."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of a message, for Celery: the record says more.

    Attributes
    ----------
    word
        One word, or how many visits were dealt with.
    failed, again
        Of each visit that failed, and of each that is tried again: its id, the step, the
        cause and the message; escaped, and with nothing in it that the record has not.
    """

    word: str
    failed: tuple[str, ...] = ()
    again: tuple[str, ...] = ()

    @classmethod
    def of(cls, step: str, changed: Mapping[Visit, Record | None]) -> Ending:
        """Return the end of an attempt.

        Parameters
        ----------
        changed
            The records after it; None of a visit that somebody else has by now.
        """
        words = [found.state.value if found else "withdrawn" for found in changed.values()]
        said: dict[State, list[str]] = {State.FAILED: [], State.WAITING: []}
        for visit, found in changed.items():
            if found and found.state in said:
                error = found.error or {}
                text = f"{visit} {step}: {error.get('cause')}: {error.get('message')}"
                said[found.state].append(shown(text, MOST_WORDS))
        return cls(
            words[0] if len(words) == 1 else f"{len(words)} visits",
            tuple(said[State.FAILED]),
            tuple(said[State.WAITING]),
        )


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
            **({"streamed": True} if result.streamed else {}),
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
