"""A board that forked processes share."""

from __future__ import annotations

import multiprocessing

from icfqueue.core.processes.board import SIZE, SLOTS, Board


def test_what_a_fork_writes_its_parent_reads() -> None:
    """Each in its own slot; an empty text takes the last one away."""
    board = Board()
    assert board.read() == []
    fork = multiprocessing.get_context("fork")
    for slot, text in ((0, "one"), (SLOTS - 1, "zwei, drei, vier: fünf")):
        child = fork.Process(target=board.write, args=(slot, text))
        child.start()
        child.join()
    assert board.read() == ["one", "zwei, drei, vier: fünf"]
    board.write(0, "")
    board.write(SLOTS, "shared with the first")
    assert board.read() == ["shared with the first", "zwei, drei, vier: fünf"]


def test_what_does_not_fit_is_not_shown() -> None:
    """Nor does it run over into the next slot."""
    board = Board()
    board.write(1, "next")
    board.write(0, "x" * SIZE)
    assert board.read() == ["next"]
    board.write(0, "short")
    assert board.read() == ["short", "next"]


def test_a_slot_that_is_being_written_is_left_out() -> None:
    board = Board()
    board.write(0, "whole")
    board._memory[0] |= 1
    assert board.read() == []
    board.write(0, "whole again")
    assert board.read() == ["whole again"]
