"""All projects, a line for each."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import RenderableType
from rich.text import Text

from icfqueue.cli.display.amounts import amount
from icfqueue.cli.display.columns import Columns
from icfqueue.cli.display.fitting import Column
from icfqueue.cli.display.terminal import COLOURS, cell
from icfqueue.cli.shell.again import ours
from icfqueue.ledger.record import State
from icfqueue.operations.status import ProjectSummary, counts_of

_IMPORTANCE = {
    State.FAILED: 95,
    State.RUNNING: 90,
    State.DONE: 85,
    State.QUEUED: 80,
    State.WAITING: 75,
    State.CANCELLED: 60,
}


def counts_line(line: ProjectSummary, *, workers: bool = True) -> Text:
    """Return the counts of a project in one line."""
    visits = "1 visit" if line.visits == 1 else f"{line.visits} visits"
    text = cell(f"{line.project}: {visits}  ")
    for state, count in counts_of(line, workers=workers).items():
        if count:
            text.append(f"  {count} {state.value}", style=COLOURS[state])
    return text


def projects(lines: Iterable[ProjectSummary], *, workers: bool) -> RenderableType:
    """Return a line for each project."""
    shown = Columns(
        [
            Column("project"),
            Column("visits", 98, right=True),
            *(Column(state.value, _IMPORTANCE[state], right=True) for state in State),
            Column("size", 50, right=True),
            Column("DICOMs", 40, right=True),
        ]
    )
    for line in lines:
        counts = counts_of(line, workers=workers)
        shown.add(
            line.project,
            str(line.visits),
            *(cell(str(counts[state] or ""), COLOURS[state]) for state in State),
            amount(line.tar_bytes),
            str(line.read_dicoms),
        )
    if not shown.rows:
        return Text(f"Nothing was enqueued yet: try `{ours('run', 'PROJECT')}`.")
    return shown
