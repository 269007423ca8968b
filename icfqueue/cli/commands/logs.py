"""``icfqueue logs``: what all workers said of a project or a visit, in order."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import click

from icfqueue.cli.options import lines_format_option, visit_arguments, where_options
from icfqueue.cli.session import session

if TYPE_CHECKING:
    from icfqueue.ledger.telling.events import Event

RED = ("step.failed", "visit.orphaned")
YELLOW = ("step.waiting", "step.withdrawn", "step.given_back", "visit.cancelled")


@click.command()
@visit_arguments
@lines_format_option
@where_options
def logs(project: str, visits: tuple[str, ...], form: str, **where: Any) -> int:
    """Tell what all workers said of PROJECT, or of VISITs of it, in order.

    The broker keeps the last 100,000 events of all projects. VISITs may be patterns.
    """
    with session(where, asking=True) as opened:
        from icfqueue.operations.select_visits import check_recorded

        check_recorded(opened.ledger, project)
        told = False
        for event in opened.ledger.events.all():
            if event.project != project or not _wanted(event, visits):
                continue
            told = True
            tell(event, form, whole=False)
    if not told:
        words = f" {' '.join(visits)}" if visits else ""
        click.echo(
            f"No event of {project}{words} is kept (any more); "
            f"'icfqueue status {project}' tells where it stands.",
            err=True,
        )
    return 0


def _wanted(event: Event, visits: tuple[str, ...]) -> bool:
    return not visits or any(fnmatchcase(event.visit, pattern) for pattern in visits)


def tell(event: Event, form: str, *, whole: bool) -> None:
    """Print an event as a line.

    Parameters
    ----------
    whole
        With its project.
    """
    if form == "json":
        import msgspec

        from icfqueue.operations.status import iso

        shown = {
            "t": iso(event.t),
            "kind": event.kind,
            "project": event.project,
            "visit": event.visit,
            "step": event.step,
            "state": event.state,
            "worker": event.worker,
            "cause": event.cause,
            "message": event.message,
        }
        click.echo(msgspec.json.encode(shown))
        return
    colour = "red" if event.kind in RED else "yellow" if event.kind in YELLOW else None
    click.secho(_line(event, whole=whole), fg=colour)


def _line(event: Event, *, whole: bool) -> str:
    """Return an event in words; text from outside is escaped."""
    from datetime import datetime

    from icfqueue.core.plain_text import escaped

    when = datetime.fromtimestamp(event.t).astimezone().isoformat(" ", "milliseconds")
    who = f"{event.project}/{event.visit}" if whole else event.visit
    parts = [when, event.worker or "-", who, event.kind, event.step]
    if event.kind == "step.done" and event.state == "done":
        parts.append("(visit done)")
    if event.cause:
        parts.append(f"[{event.cause}]")
    return escaped(" ".join([*parts, event.message]).rstrip()).replace("\n", " ")
