"""Where frames go: a log gets lines now and then, a terminal frames."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console
from rich.live import Live
from rich.text import Text

from icfqueue.cli.live import display
from icfqueue.ledger.record import State
from icfqueue.overview.picture import Picture
from icfqueue.overview.standstill import Reason

from .test_frame import a_picture


def drained() -> Picture:
    counts = dict.fromkeys(State, 0) | {State.DONE: 1}
    return replace(a_picture(), counts=counts)


def test_in_a_log_a_line_has_the_same_facts_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with display.shown() as lines:
        lines.show(a_picture(), [])
        assert capsys.readouterr().out == ""
        monkeypatch.setattr(display, "LINE_EVERY", -1.0)
        monkeypatch.setattr(display, "LINE_SHARE", -1.0)
        lines.show(a_picture(), [])
        lines.show(drained(), [])
    assert capsys.readouterr().out == (
        "study_9: 48 visits: 12 done, 4 under way, 28 queued, 1 waiting, 3 failed; "
        "8 %, 155.0 MB of 2.0 GB, about 2 h 02 min left; "
        "1 at fetch (250.0 kB/s), 1 at index_tar\n"
    )


def test_in_a_log_a_reason_is_told_at_once_and_again_only_if_it_comes_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = display.Lines()
    reason = Reason("disk", "it is full", "make room")
    for reasons in ([reason], [reason], [], [reason]):
        lines.show(a_picture(), reasons)
    said = "study_9: it is full; make room\n"
    # Nothing was told meanwhile: the same line would tell nothing, either.
    assert capsys.readouterr().out == said
    lines.show(a_picture(), [])
    lines.say("something else")
    lines.show(a_picture(), [reason])
    assert capsys.readouterr().out == f"something else\n{said}"


def test_a_line_in_a_log_differs_from_the_one_before(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "LINE_EVERY", -1.0)
    monkeypatch.setattr(display, "LINE_SHARE", -1.0)
    lines = display.Lines()
    for done in (1, 1, 1, 2):
        lines.show(replace(a_picture(), done=155e6 * done), [])
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_in_a_log_too_it_is_told_when_the_next_try_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    display.Lines().show(a_picture(), [Reason("waiting", "all wait")])
    assert capsys.readouterr().out == "study_9: all wait; next try: sub-033_ses-1 in 12 s\n"


def test_in_a_terminal_what_stands_below_a_frame_takes_its_place_in_the_end() -> None:
    out = StringIO()
    where = Console(file=out, force_terminal=True, width=80, height=24)
    rooms: list[int] = []

    def below(_: Picture, room: int) -> Text:
        rooms.append(room)
        return Text("causes")

    with Live(console=where, auto_refresh=False) as live:
        frames = display.Frames(where, live, below)
        frames.show(a_picture(), [])
        assert "sub-000_ses-1" in out.getvalue()
        out.truncate(0)
        frames.show(drained(), [])
        frames.say("a \x1b[2J word")
    assert "sub-000_ses-1" not in out.getvalue()
    assert "causes" in out.getvalue()
    assert rooms[1] == 23 > rooms[0]
