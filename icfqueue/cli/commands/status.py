"""``icfqueue status``: where everything stands."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from icfqueue.cli.options import (
    cause_option,
    format_option,
    maybe_project_argument,
    notify_options,
    visits_argument,
    where_options,
)
from icfqueue.cli.session import Session, session
from icfqueue.cli.shell.again import nobody_works, whole
from icfqueue.cli.shell.folding import say
from icfqueue.core.errors import NothingYet, UsageError

if TYPE_CHECKING:
    from icfqueue.cli.tables import Question
    from icfqueue.core.visit import Visit

STATES = ("queued", "running", "waiting", "done", "failed", "cancelled")
"""Spelt out here so that ``--help`` need not import the records; a test compares them."""

STUCK_EVERY = 5.0
"""Seconds between two looks whether only visits are left that cannot go on."""

LOOK_AGAIN = 1.0
"""Seconds between two looks of ``--watch`` and ``--wait``."""

PATIENCE = 10.0
"""Seconds that ``--wait`` gives a worker to show itself: it was often just started."""


@click.command()
@maybe_project_argument
@visits_argument()
@click.option("--state", type=click.Choice(STATES), help="Only visits in this state.")
@cause_option
@click.option(
    "--all", "everything", is_flag=True, help="A line for each visit, however many."
)
@format_option("table", "json", "csv")
@click.option("--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
@click.option("--wait", is_flag=True, help="Wait until nothing is left to be done.")
@notify_options
@where_options
def status(
    project: str | None,
    visits: tuple[str, ...],
    state: str | None,
    causes: tuple[str, ...],
    form: str,
    *,
    everything: bool,
    notify: str | None,
    command: str | None,
    watch: bool,
    wait: bool,
    **where: Any,
) -> int:
    """Tell where everything stands: all projects, one PROJECT, or VISITs of it.

    One VISIT is shown with all that is known of it; several, also by a pattern as
    'sub-01*', have a line each. Of a project with many visits the causes of failures are
    shown, and single visits if they are asked for: by --state, --cause, --all or a
    pattern.

    The exit code is 1 if a visit that is shown failed.
    """
    _check_usage(form, watch=watch, wait=wait, tells=bool(notify or command))
    if project is None and (causes or everything):
        raise UsageError(
            "--cause and --all are about the visits of one project",
            hint="name it: 'icfqueue status PROJECT --cause CAUSE'",
        )
    try:
        with session(where, asking=True) as opened:
            from icfqueue.cli import tables
            from icfqueue.cli.shell.notices import notices
            from icfqueue.operations.select_visits import check_recorded

            asked = tables.Question()
            if project is not None:
                check_recorded(opened.ledger, project)
                visit, among = _named(opened, project, visits, listed=bool(causes or state))
                asked = tables.Question(project, visit, state, causes, among, everything)
            _tell_refusal(opened)
            if wait:
                with notices(opened, project, notify, command):
                    _wait(opened, project)
            if watch:
                return _watch(opened, asked)
            code = tables.once(opened.ledger, asked, form)
            _tell_of_workers(opened, project)
            return code
    except NothingYet as nothing:
        if project:
            raise
        # No project at all is an answer, in every form.
        click.echo({"json": "[]", "csv": ""}.get(form, f"{nothing.message}."))
        return 0


def _check_usage(form: str, *, watch: bool, wait: bool, tells: bool) -> None:
    """Raise if options are given that do not go together."""
    if watch and wait:
        raise UsageError("--watch ends with Ctrl-C, --wait by itself: leave one out")
    if tells and not wait:
        raise UsageError("--notify and --exec go with --wait")
    if watch and form != "table":
        raise UsageError("--watch shows a table: leave out --format or --watch")


def _watch(opened: Session, asked: Question) -> int:
    """Show it until Ctrl-C: of a project what is at work, else what was asked for."""
    from icfqueue.cli import tables
    from icfqueue.cli.live.view import watch

    if asked.project and not asked.visit and not asked.listed:
        watch(opened, asked.project)
    return tables.watch(opened.ledger, asked, LOOK_AGAIN)


def _named(
    opened: Session, project: str, names: tuple[str, ...], *, listed: bool
) -> tuple[str | None, list[Visit] | None]:
    """Return the one visit that is named, or else those that are, by id or by glob."""
    if not names:
        return None, None
    from icfqueue.core.visit import is_glob
    from icfqueue.operations.select_visits import select_recorded

    # Says of one that is not recorded what it is called like.
    found = select_recorded(opened.ledger, project, names, ())
    if len(names) == 1 and not listed and not is_glob(names[0]):
        return found[0].id, None
    return None, found


def _tell_refusal(opened: Session) -> None:
    """Say so if nothing can go on because of the broker."""
    from icfqueue.broker.refusals import refused_writes

    if found := refused_writes(opened.client):
        say(f"icfqueue: the broker {found.found}", err=True, colour="red")
        say(whole(found.remedy), 2, err=True)


def _tell_of_workers(opened: Session, project: str | None) -> None:
    """Say so if there is work to be done and no worker to do it, or those differ."""
    from icfqueue.overview.fleet import other_bytes

    signs = opened.ledger.roster.signs()
    if differ := other_bytes(signs):
        click.secho(f"Workers differ: {differ}.", fg="yellow", err=True)
        click.echo(f"  {whole(COMPARED)}", err=True)
    projects = [project] if project else opened.ledger.projects()
    if words := _who_is_missing(opened, projects):
        say(words, err=True, colour="yellow")


def _who_is_missing(opened: Session, projects: Sequence[str]) -> str:
    """Return that no worker lives, or none for a queue in which visits wait; or nothing."""
    from icfqueue.core.steps import QUEUES
    from icfqueue.operations.status import summary

    signs = opened.ledger.roster.signs()
    served = {queue for sign in signs for queue in sign.queues}
    # Workers of the release before are in the second list alone.
    somebody = bool(signs or opened.ledger.workers())
    if somebody and (not served or served.issuperset(QUEUES)):
        return ""
    from icfqueue.overview.standstill import unserved

    for name in projects:
        line = summary(opened.ledger, name)
        if not somebody and not line.drained:
            return nobody_works(name)
        if found := unserved(signs, line.lined_up):
            return f"{found.text[0].upper()}{found.text[1:]}: {whole(found.remedy)}."
    return ""


COMPARED = "'icfqueue doctor --fleet' tells what helps"


def _wait(opened: Session, project: str | None) -> None:
    from icfqueue.operations.status import stuck, summary

    said = False
    next_stuck = 0.0
    seen = time.monotonic()
    while True:
        projects = [project] if project else opened.ledger.projects()
        left = [name for name in projects if not summary(opened.ledger, name).drained]
        if not left:
            return
        # What cannot be read does not go on; the table says so.
        if time.monotonic() > next_stuck:
            next_stuck = time.monotonic() + STUCK_EVERY
            if all(stuck(opened.ledger, name) for name in left):
                return
        if opened.embedded:
            opened.embedded.ensure()
        words = "" if said else _who_is_missing(opened, left)
        if not words:
            seen = time.monotonic()
        elif time.monotonic() - seen > PATIENCE:
            said = True
            say(words, err=True, colour="yellow")
        time.sleep(LOOK_AGAIN)
