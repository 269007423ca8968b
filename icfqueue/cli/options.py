"""Options and arguments that commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from icfqueue.cli.shell.again import PROJECT, TYPED, noted
from icfqueue.cli.shell.completers import (
    complete_causes,
    complete_projects,
    complete_visits,
)
from icfqueue.core.priority import MAX_PRIORITY
from icfqueue.core.steps import QUEUES

F = TypeVar("F", bound=Callable[..., Any])

store_dir_option = click.option(
    "--store-dir",
    type=click.Path(path_type=Path),
    callback=noted,
    help="Store directory.  [env ICFQUEUE_STORE_DIR; default: this folder]",
)
"""For commands that need no broker."""

store_url_option = click.option(
    "--store-url",
    metavar="URL",
    callback=noted,
    help="Store on the web.  [env ICFQUEUE_STORE_URL; default: https://data.inm-icf.de]",
)
"""For commands that need neither a store directory nor a broker."""


def where_options(function: F) -> F:
    """Add the options that say where store and broker are."""
    for option in reversed(
        [
            store_dir_option,
            store_url_option,
            click.option(
                "--broker",
                metavar="URL",
                callback=noted,
                help="Redis or Valkey.  [env ICFQUEUE_BROKER_URL; "
                "default: an embedded server]",
            ),
        ]
    ):
        function = option(function)
    return function


def project_meant(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> str | None:
    """Return the project's id, also of its folder as a shell completes it: ``study_1/``.

    A callback; who uses the id checks it, and :mod:`icfqueue.cli.shell.misplaced` what
    was typed.
    """
    from icfqueue.core.visit import is_id, project_named

    del param
    project = value and project_named(value)
    ctx.meta[PROJECT] = project if project and is_id(project) else ""
    ctx.meta[TYPED] = value or ""
    return project


def visits_meant(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...]:
    """Return ids and globs, also of tarballs as a shell completes them.

    A callback; who uses the ids checks them.
    """
    from icfqueue.core.visit import visit_named

    del param
    # Arguments are read in the order in which they stand.
    project = ctx.params.get("project") or ""
    return tuple(visit_named(project, name) for name in value)


def visit_meant(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> str | None:
    """Return one id or glob, as :func:`visits_meant` does. A callback."""
    return value and visits_meant(ctx, param, (value,))[0]


def causes_meant(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...]:
    """Return codes of causes; say which one may have been meant. A callback.

    Raises
    ------
    click.BadParameter
        There is no such code.
    """
    from icfqueue.core.causes import CAUSES

    for code in value:
        if code not in CAUSES:
            import difflib

            near = difflib.get_close_matches(code, CAUSES, 1)
            guess = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(CAUSES)}"
            raise click.BadParameter(f"{code!r} is no cause; {guess}", ctx, param)
    return value


cause_option = click.option(
    "--cause",
    "causes",
    metavar="CAUSE",
    multiple=True,
    callback=causes_meant,
    shell_complete=complete_causes,
    help="Only visits that failed for this, as 'network'; may be given again.",
)
"""For commands about visits with an error."""


def project_argument(function: F) -> F:
    """Add the argument PROJECT."""
    return _project(required=True)(function)


def maybe_project_argument(function: F) -> F:
    """Add the argument [PROJECT]."""
    return _project(required=False)(function)


def _project(*, required: bool) -> Callable[[F], F]:
    return click.argument(
        "project",
        required=required,
        callback=project_meant,
        shell_complete=complete_projects,
    )


def visit_arguments(function: F) -> F:
    """Add the arguments PROJECT [VISIT…]."""
    return project_argument(visits_argument()(function))


def one_visit_argument(function: F) -> F:
    """Add the argument [VISIT], of which there is one at most."""
    return click.argument(
        "visit", required=False, callback=visit_meant, shell_complete=complete_visits
    )(function)


def visits_argument(*, required: bool = False) -> Callable[[F], F]:
    """Return what adds the argument [VISIT…], or VISIT… if there must be one."""
    return click.argument(
        "visits",
        nargs=-1,
        required=required,
        callback=visits_meant,
        shell_complete=complete_visits,
        metavar="VISIT..." if required else "[VISIT]...",
    )


credential_option = click.option(
    "--credential", metavar="NAME", help="DataLad credential for the store."
)

_WORK = [
    click.option(
        "--remote", is_flag=True, help="Add every visit that the store URL lists."
    ),
    click.option(
        "--visits-file",
        type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
        help="Add the visits that a file names, one a line; '-' is standard input.",
    ),
    credential_option,
    click.option(
        "--force",
        is_flag=True,
        help="Make everything anew; accept a changed tarball.",
    ),
    click.option("--no-catalog", is_flag=True, help="Leave the catalog alone."),
    click.option(
        "--no-superdataset",
        is_flag=True,
        help="Leave the project's dataset of all visits alone.",
    ),
    click.option(
        "--stream/--no-stream",
        default=None,
        help="Index tarballs that are not here as they come from the store, and write "
        "none; or download them.  [env ICFQUEUE_STREAM; default: only with "
        "--remove-tarball]",
    ),
    click.option(
        "--remove-tarball",
        is_flag=True,
        help="Remove the tarball here once the deposit is complete and the store "
        "is known to have the same bytes.",
    ),
    click.option(
        "--remove-metadata",
        is_flag=True,
        help="Remove the two JSON files at the end.",
    ),
    click.option(
        "--priority",
        type=click.IntRange(0, MAX_PRIORITY),
        default=0,
        show_default=True,
        help="Visits of a higher number go first.",
    ),
    click.option(
        "--dry-run",
        is_flag=True,
        help="Say what would be done and why; do nothing.",
    ),
]


def work_options(function: F) -> F:
    """Add the options that ``run`` and ``enqueue`` share."""
    for option in reversed(_WORK):
        function = option(function)
    return function


def format_option(*forms: str, more: str | None = None) -> Callable[[F], F]:
    """Return what adds the option --format.

    Parameters
    ----------
    forms
        Among which one chooses; the first is the default.
    more
        What its help says, if not that.
    """
    return click.option(
        "--format",
        "form",
        type=click.Choice(forms),
        default=forms[0],
        show_default=True,
        help=more or f"As a {forms[0]} for people; others for programs.",
    )


lines_format_option = format_option(
    "text", "json", more="As lines for people, or one JSON object a line."
)
"""For commands that tell events."""

queues_option = click.option(
    "--queues",
    metavar="NAMES",
    default=",".join(QUEUES),
    show_default=True,
    help="Queues to serve, with commas.",
)
"""For commands about workers."""


def listening_options(port: int, who: str) -> Callable[[F], F]:
    """Return what adds the options that say where a server listens.

    Parameters
    ----------
    port
        The default.
    who
        What to know of those who reach it.
    """

    def add(function: F) -> F:
        for option in (
            click.option(
                "--host",
                default="127.0.0.1",
                show_default=True,
                help=f"Address to listen at; {who}.",
            ),
            click.option(
                "--port",
                type=click.IntRange(0, 65535),
                default=port,
                show_default=True,
                help="Port to listen at; 0 takes a free one.",
            ),
        ):
            function = option(function)
        return function

    return add


log_format_option = click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    help="How workers write their log: for people, or for collectors.  "
    "[env ICFQUEUE_LOG_FORMAT; default: text]",
)
"""For commands that start workers."""


def notify_options(function: F) -> F:
    """Add the options by which others are told what happens."""
    for option in reversed(
        [
            click.option(
                "--notify",
                metavar="URL",
                help="POST a JSON message there when a visit fails, and when the project "
                "is finished or stands still. If the address is a secret, use the setting "
                "notify.",
            ),
            click.option(
                "--exec",
                "command",
                metavar="COMMAND",
                help="Run this for each such message, which it reads from standard input.",
            ),
        ]
    ):
        function = option(function)
    return function
