"""Why visits failed, as a terminal shows it: by cause, never a line for each visit."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.console import Console

from icfqueue.cli.display.amounts import duration
from icfqueue.cli.display.terminal import Line, cell, show, to_paste
from icfqueue.cli.shell.again import ours, whole
from icfqueue.core.plain_text import escaped
from icfqueue.overview.failures import CauseGroup

DETAILED = 5
"""Causes of which message and remedy are shown; the others have a line each."""

MOST = 12
"""Causes that are shown at all."""

TIMES = "\N{MULTIPLICATION SIGN}"

INDENT = 6
"""Columns by which what belongs to a cause is moved to the right."""


_AND_RETRY = re.compile(r",? then ['`]icfqueue retry [^'`]*['`]$")
"""End of a visit's own remedy; the line below it has that of all visits of the cause."""

_THEN_RETRY = ", then retry"
"""The same in the remedy of a cause."""

_ALIKE = 2
"""Words that are the same where two remedies begin alike."""


def print_causes(
    console: Console,
    groups: Sequence[CauseGroup],
    project: str,
    *,
    names: Sequence[str] = (),
    again: str = "",
) -> None:
    """Print why visits failed, and the commands that list them and have them go on.

    Parameters
    ----------
    groups
        As :func:`icfqueue.overview.failures.by_cause` returns them; nothing is printed
        for none.
    names
        Visits that the groups are of, as they were named; of all if there are none.
    again
        Nobody works on what goes on: the commands have this one at their end.
    """
    show(console, *causes(groups, project, names=names, again=again))


def causes(
    groups: Sequence[CauseGroup],
    project: str,
    *,
    names: Sequence[str] = (),
    again: str = "",
    messages: bool = True,
) -> list[Line]:
    """Return the lines that :func:`print_causes` prints.

    Parameters
    ----------
    messages
        Whether they have the example's message, and the command that lists the visits:
        not where the visits themselves are shown, too.
    """
    found: list[Line] = []
    width = max((len(str(group.count)) for group in groups), default=0)
    for group in groups[:DETAILED]:
        remedy, hint = _once(group)
        found.append(_head(group, width, remedy))
        if messages:
            # The whole message: it is shown for one visit of many.
            found.append(Line(cell(" ".join(group.message.split())), INDENT))
        if hint:
            found.append(Line(cell(whole(hint), "dim"), INDENT))
        if group.retry_helps:
            word = "now" if group.transient else "then"
            command = ours("retry", project, *names, "--cause", _code(group))
            after = f" && {again}" if again else ""
            found.append(to_paste(f"{word}: {command}{after}", INDENT))
    found += [_head(group, width, group.remedy) for group in groups[DETAILED:MOST]]
    if left := groups[MOST:]:
        found.append(Line(cell(f"… and {len(left)} causes more", "dim"), 2))
    if groups and messages:
        others = ", ".join(group.cause for group in groups[1:MOST])
        command = ours("status", project, *names, "--cause", _code(groups[0]))
        more = f"    # or {' '.join(others.split())}" if others else ""
        found.append(to_paste(f"list: {command}{more}", 2))
    return found


def waits(groups: Sequence[CauseGroup], now: float) -> list[Line]:
    """Return why visits wait to be tried again, a line and a message for each cause.

    Parameters
    ----------
    groups
        Of visits that wait.
    now
        The server's time, in seconds since 1970.
    """
    found: list[Line] = []
    for group in groups[:MOST]:
        left = max(0.0, (group.due or now) - now)
        soon = f"in {duration(left)}" if left else "now"
        text = cell(f"{group.count} {TIMES} ", "yellow")
        text.append(escaped(group.cause), style="bold yellow")
        text.append(escaped(f", e.g. {group.example_visit}: tried again {soon}"))
        found.append(Line(text, 2))
        if len(found) < 2 * DETAILED:
            found.append(Line(cell(" ".join(group.message.split())), INDENT))
    return found


def _once(group: CauseGroup) -> tuple[str, str]:
    """Return the remedy for all, and that for the example, with nothing in both.

    Nor is said in them to try again, if a line of its own says that.
    """
    remedy, hint = group.remedy, group.hint
    if group.retry_helps:
        remedy, hint = remedy.removesuffix(_THEN_RETRY), _AND_RETRY.sub("", hint)
    if hint.startswith(remedy):
        # The longer one; but a head is no line to paste from.
        return (remedy if re.search(r"(?:^|\s)['`]", hint) else hint), ""
    same = re.findall(r"\w+", hint)[:_ALIKE] == re.findall(r"\w+", remedy)[:_ALIKE]
    return remedy, (hint.partition(": ")[2] or hint) if same else hint


def _head(group: CauseGroup, width: int, remedy: str) -> Line:
    """Return the number of visits and the cause, a visit, and what to do."""
    text = cell(f"{group.count:>{width}} {TIMES} ", "red")
    text.append(escaped(group.cause), style="bold red")
    example = group.example_visit if group.count == 1 else f"e.g. {group.example_visit}"
    text.append(escaped(f", {example}: "))
    return Line(text.append(escaped(whole(remedy)), style="yellow"), 2)


def _code(group: CauseGroup) -> str:
    """Return the cause; one that another program wrote may be anything."""
    return escaped(group.cause)
