"""Commands that ask and steer: ``status``, ``retry``, ``cancel``."""

from __future__ import annotations

import time
from typing import Any

import click

from icfqueue.cli.session import (
    NothingYet,
    Session,
    session,
    visit_arguments,
    where_options,
)
from icfqueue.core.errors import UsageError

STATES = ("queued", "running", "waiting", "done", "failed", "cancelled")
"""Spelt out here so that ``--help`` need not import the records; a test compares them."""

LOOK_AGAIN = 1.0
"""Seconds between two looks of ``--watch`` and ``--wait``."""


@click.command()
@click.argument("project", required=False)
@click.argument("visit", required=False)
@click.option("--state", type=click.Choice(STATES), help="Only visits in this state.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
)
@click.option("--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
@click.option("--wait", is_flag=True, help="Wait until nothing is left to be done.")
@where_options
def status(
    project: str | None,
    visit: str | None,
    state: str | None,
    form: str,
    *,
    watch: bool,
    wait: bool,
    **where: Any,
) -> int:
    """Tell where everything stands: all projects, one PROJECT, or one VISIT of it.

    The exit code is 1 if a visit that is shown failed.
    """
    if watch and wait:
        raise UsageError("--watch ends with Ctrl-C, --wait by itself: leave one out")
    if watch and form != "table":
        raise UsageError("--watch shows a table: leave out --format or --watch")
    try:
        with session(where, asking=True) as opened:
            from icfqueue.cli import tables

            _check_known(opened, project)
            if wait:
                _wait(opened, project)
            if watch:
                return tables.watch(opened.ledger, project, visit, state, LOOK_AGAIN)
            return tables.once(opened.ledger, project, visit, state, form)
    except NothingYet as nothing:
        if project:
            raise
        # No project at all is an answer, in every form.
        click.echo({"json": "[]", "csv": ""}.get(form, f"{nothing.message}."))
        return 0


@click.command()
@visit_arguments
@click.option(
    "--state",
    type=click.Choice(["failed", "cancelled", "waiting"]),
    default="failed",
    show_default=True,
    help="Visits in this state go on.",
)
@where_options
def retry(project: str, visits: tuple[str, ...], state: str, **where: Any) -> int:
    """Let failed visits go on from the step that failed."""
    with session(where, asking=True) as opened:
        from icfqueue.ledger.record import State
        from icfqueue.operations.enqueue import Producer

        wanted = _visits(opened, project, visits, [State(state)])
        asked = Producer(opened.settings, opened.store, opened.ledger, opened.messages())
        again = asked.retry(wanted, [State(state)])
        click.echo(f"{project}: {len(again)} visits go on")
        _tell_others(wanted, again, f"not {state}")
        if again and not opened.ledger.workers():
            click.echo(
                "No worker is running: start 'icfqueue worker', or use 'icfqueue run'."
            )
        return 0


@click.command()
@visit_arguments
@where_options
def cancel(project: str, visits: tuple[str, ...], **where: Any) -> int:
    """Withdraw visits that are queued, running or waiting."""
    with session(where, asking=True) as opened:
        from icfqueue.ledger.record import ACTIVE
        from icfqueue.operations.enqueue import Producer

        wanted = _visits(opened, project, visits, list(ACTIVE))
        asked = Producer(opened.settings, opened.store, opened.ledger, opened.messages())
        gone = asked.cancel(wanted)
        click.echo(f"{project}: {len(gone)} visits cancelled")
        _tell_others(wanted, gone, "not active")
        return 0


def _visits(
    opened: Session, project: str, names: tuple[str, ...], states: list[Any]
) -> list[Any]:
    """Return the visits named, which must be known, or all in `states`."""
    from icfqueue.core.visit import Visit, check_id

    check_id(project, "project")
    _check_known(opened, project)
    if not names:
        return opened.ledger.visits(project, states)
    visits = [Visit(project, name) for name in names]
    for visit, entry in zip(visits, opened.ledger.get_many(visits), strict=True):
        if entry is None:
            raise UsageError(
                f"{visit} was never enqueued", hint=f"see 'icfqueue status {project}'"
            )
    return visits


def _tell_others(wanted: list[Any], done: list[Any], why: str) -> None:
    others = [visit.id for visit in wanted if visit not in set(done)]
    if others:
        click.echo(f"left alone ({why}): {', '.join(others)}")


def _check_known(opened: Session, project: str | None) -> None:
    """Raise unless `project` was ever enqueued."""
    if project is None:
        return
    from icfqueue.core.visit import check_id

    check_id(project, "project")
    known = opened.ledger.projects()
    if project in known:
        return
    import difflib

    near = difflib.get_close_matches(project, known, 1)
    guess = f"did you mean {near[0]}?" if near else f"known: {', '.join(known) or 'none'}"
    raise UsageError(
        f"nothing of project {project} was ever enqueued in this store", hint=guess
    )


def _wait(opened: Session, project: str | None) -> None:
    from icfqueue.operations.status import summary

    said = False
    while True:
        projects = [project] if project else opened.ledger.projects()
        if all(summary(opened.ledger, name).drained for name in projects):
            return
        if opened.embedded:
            opened.embedded.ensure()
        if not said and not opened.ledger.workers():
            said = True
            click.echo(
                "No worker is running: start 'icfqueue worker', or use 'icfqueue run'.",
                err=True,
            )
        time.sleep(LOOK_AGAIN)
