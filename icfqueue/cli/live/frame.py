"""A project at a moment, in lines that fit a terminal's width: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from icfqueue.cli.display.amounts import amount, duration
from icfqueue.cli.display.fitting import ALWAYS, GAP, fitting
from icfqueue.cli.display.terminal import COLOURS, cell
from icfqueue.cli.shell.again import whole
from icfqueue.core.plain_text import shown
from icfqueue.core.steps import NAMES
from icfqueue.ledger.record import State
from icfqueue.overview.picture import AtWork, Picture, Retry
from icfqueue.overview.standstill import Reason

REASON = 200
"""Characters of a reason; a store may say a lot."""

MOST = 99
"""Percents behind while visits are not done yet."""

BAR = 10
"""Characters of the narrowest bar that tells anything."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of what is at work.

    Attributes
    ----------
    cells
        From top to bottom.
    weight
        Where there is not room for all, the lightest go first; None always stays.
    right
        Whether it ends at the right: numbers.
    """

    cells: Sequence[str]
    weight: int | None = None
    right: bool = False

    @property
    def width(self) -> int:
        return max(map(cell_len, self.cells), default=0)


def frame(
    picture: Picture, reasons: Sequence[Reason], width: int, height: int
) -> list[Text]:
    """Return the lines that show a project.

    Parameters
    ----------
    width, height
        Characters and lines that there is room for.
    """
    above = [*counts_lines(picture, width), bar_line(picture, width, reasons)]
    steps = step_lines(picture, width)
    below = [*roster_lines(picture), *retry_lines(picture.retry), *reason_lines(reasons)]
    taken = sum(1 + (cell_len(line.plain) - 1) // width for line in (*above, *below))
    room = max(1, height - taken - len(steps) - 1)
    return [*above, *steps, *worker_lines(picture.running, width, room), *below]


def counts(picture: Picture) -> list[tuple[int, str, State]]:
    """Return how many visits are where: number, word, and the state whose colour it has."""
    found = picture.counts
    several = [
        (found[State.DONE], "done", State.DONE),
        (picture.under_way, "under way", State.RUNNING),
        (picture.queued, "queued", State.QUEUED),
        (found[State.WAITING], "waiting", State.WAITING),
        (found[State.FAILED], "failed", State.FAILED),
        (found[State.CANCELLED], "cancelled", State.CANCELLED),
    ]
    return [one for one in several if one[0]]


def counts_lines(picture: Picture, width: int) -> list[Text]:
    """Return how many visits are where; nothing of it is left out, or torn apart."""
    lines = [Text(no_wrap=True).append_text(cell(picture.project, "bold"))]
    lines[0].append(f"  {picture.visits} visits")
    for number, word, state in counts(picture):
        one = Text(f"{number} {word}", style=COLOURS[state])
        if lines[-1].cell_len + GAP + one.cell_len > width:
            lines.append(Text())
        lines[-1].append(" " * GAP).append_text(one)
    return lines


def bar_line(picture: Picture, width: int, reasons: Sequence[Reason] = ()) -> Text:
    """Return a bar, and how many bytes and how much time are behind and left."""
    words = amounts(picture, reasons)
    room = width - cell_len(words) - GAP
    share = share_of(picture)
    if share is None or room < BAR:
        return Text(words, no_wrap=True, overflow="ellipsis")
    filled = min(room, int(share * room))
    line = Text().append("━" * filled, style="green")
    line.append("─" * (room - filled), style="dim")
    return line.append(" " * GAP).append(words)


def share_of(picture: Picture) -> float | None:
    """Return which share of the bytes is behind, None if that is not known."""
    if not picture.total:
        return None
    return min(1.0, picture.done / picture.total)


def amounts(picture: Picture, reasons: Sequence[Reason] = ()) -> str:
    """Return bytes and time in words: ``41 %  155 MB of 375 MB  about 3 min left``.

    Before a total that has sizes in it that are not known stands ``~``. While visits are
    not done, neither are all percents, and some time is left: the last steps read nothing.

    Parameters
    ----------
    reasons
        Why nothing moves: how long that lasts is not known, nor then what is left.
    """
    share = share_of(picture)
    words = []
    if share is not None and picture.total:
        done, total = amount(int(picture.done)), amount(round(picture.total))
        about = "~" if picture.estimated else ""
        percent = round(100 * share)
        if not picture.drained:
            percent = min(MOST, percent)
        words += [f"{percent} %", f"{done} of {about}{total}"]
    elif moved := sum(one.moved for one in picture.running) + int(picture.done):
        words.append(f"{amount(moved)} so far")
    if picture.left is not None and not any(reason.lasts for reason in reasons):
        words.append(f"about {_time_left(picture)} left")
    return "  ".join(words) or "nothing was read yet"


def _time_left(picture: Picture) -> str:
    left = picture.left or 0.0
    return "1 s" if left < 1 and not picture.drained else duration(left)


def step_lines(picture: Picture, width: int) -> list[Text]:
    """Return a line for each step at which anything is."""
    names = [
        name
        for name in NAMES
        if picture.at_work.get(name) or picture.lined_up.get(name) or name in picture.rates
    ]
    columns = [
        Column(names),
        Column([f"{picture.at_work.get(name, 0)} at work" for name in names], 3, True),
        Column(
            [_some(picture.lined_up.get(name, 0), "in line") for name in names], 2, True
        ),
        Column([rate(picture.rates.get(name)) for name in names], 1, True),
    ]
    return [Text(line, style="cyan") for line in laid_out(columns, width)]


def _some(count: int, what: str) -> str:
    return f"{count} {what}" if count else ""


def rate(bytes_a_second: float | None) -> str:
    """Return a rate in words, nothing if there is none."""
    return f"{amount(int(bytes_a_second))}/s" if bytes_a_second else ""


def worker_lines(running: Sequence[AtWork], width: int, room: int) -> list[Text]:
    """Return a line for each of the steps at work, as long as there is room."""
    ordered = sorted(running, key=lambda one: (one.worker, one.visit))
    shown_ones = ordered if len(ordered) <= room else ordered[: room - 1]
    columns = [
        Column([one.visit.id for one in shown_ones]),
        Column([one.step for one in shown_ones], 5),
        Column([moved(one) for one in shown_ones], 4, True),
        Column([rate(one.rate) for one in shown_ones], 2, True),
        Column([duration(one.seconds) for one in shown_ones], 3, True),
        Column([shown(one.worker) for one in shown_ones], 1),
    ]
    lines = [Text(line) for line in laid_out(columns, width)]
    if more := len(ordered) - len(shown_ones):
        lines.append(Text(f"… and {more} more", style="dim"))
    return lines


def moved(one: AtWork) -> str:
    """Return how many bytes of how many a step has dealt with."""
    if not one.moved:
        return amount(one.to_move) if one.to_move else ""
    if not one.to_move:
        return amount(one.moved)
    return f"{amount(one.moved)} of {amount(one.to_move)}"


def roster_lines(picture: Picture) -> list[Text]:
    """Return how many workers there are, if there is more than one or it does more."""
    workers, hosts = len(picture.signs), len({sign.host for sign in picture.signs})
    if workers <= 1 and not picture.elsewhere:
        return []
    words = f"{workers} workers on {hosts} hosts, {picture.processes} processes"
    if picture.elsewhere:
        words += f", {picture.elsewhere} of them at work for other projects"
    return [Text(words, style="dim")]


def retry_lines(retry: Retry | None) -> list[Text]:
    """Return what is tried next, when, and why it was not done before."""
    if retry is None:
        return []
    words = f"next try: {next_try(retry)}"
    if message := retry.error.get("message"):
        words += f", because {shown(message, REASON)}"
    return [Text(words, style="yellow")]


def next_try(retry: Retry) -> str:
    """Return which visit is tried next, and when."""
    when = f"in {duration(retry.seconds)}" if retry.seconds > 0 else "now"
    return f"{retry.visit.id} {when}"


def reason_lines(reasons: Sequence[Reason]) -> list[Text]:
    """Return why nothing moves, and what helps."""
    found = []
    for reason in reasons:
        found.append(Text(shown(reason.text, REASON), style="red"))
        if reason.remedy:
            found.append(Text(f"  {whole(shown(reason.remedy, REASON))}"))
    return found


def laid_out(columns: Sequence[Column], width: int) -> list[str]:
    """Return the rows of a table; columns that do not fit are left out, the lightest first.

    What stays is never cut: a name that is too long for a line goes on in the next one.
    """
    weights = [ALWAYS if one.weight is None else one.weight for one in columns]
    places = fitting([column.width for column in columns], weights, width)
    kept = [columns[place] for place in places]
    rows = zip(*(_padded(column) for column in kept), strict=True)
    return [(" " * GAP).join(row).rstrip() for row in rows]


def _padded(column: Column) -> list[str]:
    return [
        " " * (column.width - cell_len(text)) + text
        if column.right
        else text + " " * (column.width - cell_len(text))
        for text in column.cells
    ]
