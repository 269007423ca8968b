"""Why visits failed, as a terminal shows it: by cause, never a line for each visit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, Group
from rich.padding import Padding
from rich.text import Text

from icfqueue.cli.shell.again import ours, this_again, whole
from icfqueue.core.plain_text import escaped
from icfqueue.overview.failures import CauseGroup

DETAILED = 5
"""Causes of which message and remedy are shown; the others have a line each."""

MOST = 12
"""Causes that are shown at all."""

TIMES = "\N{MULTIPLICATION SIGN}"

INDENT = 6
"""Columns by which what belongs to a cause is moved to the right."""


def print_causes(
    console: Console,
    groups: Sequence[CauseGroup],
    project: str,
    *,
    run_again: bool = False,
) -> None:
    """Print why visits failed, and the commands that list them and have them go on.

    Parameters
    ----------
    groups
        As :func:`icfqueue.overview.failures.by_cause` returns them; nothing is printed
        for none.
    run_again
        Nobody works on what goes on: the commands have ``icfqueue run`` at their end.
    """
    for text, indent in _lines(groups, project, run_again=run_again):
        if text.no_wrap or not console.is_terminal:
            # One line, however long, for other programs and for who pastes it.
            console.print(Text(" " * indent).append(text), soft_wrap=True)
        else:
            console.print(Padding.indent(text, indent))


def causes_as_block(
    groups: Sequence[CauseGroup], project: str, *, run_again: bool = False
) -> Group:
    """Return what :func:`print_causes` prints, as one thing to be shown with others."""
    lines = _lines(groups, project, run_again=run_again)
    return Group(*(Padding.indent(text, indent) for text, indent in lines))


def _lines(
    groups: Sequence[CauseGroup], project: str, *, run_again: bool
) -> Iterator[tuple[Text, int]]:
    """Yield texts, and by how many columns each is moved to the right."""
    for group in groups[:DETAILED]:
        yield _head(group), 0
        # The whole message: it is shown for one visit of many.
        yield Text(escaped(" ".join(group.message.split()))), INDENT
        if group.hint and group.hint != group.remedy:
            yield _to_paste(whole(group.hint), INDENT, "dim")
        if group.retry_helps:
            word = "now" if group.transient else "then"
            command = _retry(group, project, run_again=run_again)
            yield _to_paste(f"{word}: {command}", INDENT)
    for group in groups[DETAILED:MOST]:
        yield _head(group), 0
    if left := groups[MOST:]:
        yield Text(f"… and {len(left)} causes more", style="dim"), 2
    if groups:
        others = ", ".join(group.cause for group in groups[1:MOST])
        command = f"list: {ours('status', project, *_cause(groups[0]))}"
        more = f"    # or {' '.join(others.split())}" if others else ""
        yield _to_paste(f"{command}{more}", 2)


def _head(group: CauseGroup) -> Text:
    """Return the number of visits and the cause, a visit, and what to do."""
    text = Text(f"{group.count:>4} {TIMES} ", style="red")
    text.append(escaped(group.cause), style="bold red")
    example = group.example_visit if group.count == 1 else f"e.g. {group.example_visit}"
    text.append(escaped(f", {example}: "))
    return text.append(escaped(group.remedy), style="yellow")


def _to_paste(words: str, indent: int, style: str = "") -> tuple[Text, int]:
    """Return a text in which no end of line is put: the terminal itself breaks it."""
    return Text(escaped(words), style, no_wrap=True), indent


def _retry(group: CauseGroup, project: str, *, run_again: bool) -> str:
    command = ours("retry", project, *_cause(group))
    return f"{command} && {this_again('run', project)}" if run_again else command


def _cause(group: CauseGroup) -> tuple[str, str]:
    """Return the option; a cause that another release or program wrote may be anything."""
    return "--cause", escaped(group.cause)
