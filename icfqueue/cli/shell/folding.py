"""Sentences that fit a terminal; commands in them can still be pasted."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from typing import TextIO

import click

from icfqueue.cli.shell.colours import colours
from icfqueue.core.plain_text import escaped

_BREAKABLE = re.compile(r"[!-~]+|.")
"""A part of an id or a path, or another sign."""

USUAL = 80
"""Characters of a line where a terminal does not say how many it has."""

_PROGRAMS = (
    "icfqueue|datalad|git|pip|mv|mkdir|chmod|chgrp|rm|tar|umask"
    "|gunzip|bunzip2|unxz|unzstd|unlz4|unzip|uncompress"
)
"""Those that remedies name without quotes."""

_COMMAND = re.compile(
    # A quote after a letter is an apostrophe.
    r"(?:[(\[]*(?:`[^`]+`|(?<!\w)'[^']+'(?!\w)))[^\s`']*"
    # Without quotes a command goes on to the end, as in "get it again: mv a b && gunzip b".
    rf"|(?:(?<=: )|^)(?:{_PROGRAMS}) (?=[a-z0/'.~-])(?!.*`).*$"
    r"|\S+"
)
"""What stays in one line: a command, else a word."""


def cells(text: str) -> int:
    """Return the columns of the terminal that a text takes; a Chinese sign takes two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def fold(text: str, room: int) -> list[slice]:
    """Return where the lines of a text are, each of `room` characters at most.

    A command in quotes or in backticks has no end of line in it, nor has a word: if one
    is longer than a line, it begins a line, which the terminal itself breaks. Then it can
    be copied as it was.
    """
    found: list[slice] = []
    for match in _COMMAND.finditer(text):
        for start, end in _pieces(match, room):
            if found and cells(text[found[-1].start : end]) <= room:
                found[-1] = slice(found[-1].start, end)
            else:
                found.append(slice(start, end))
    return found


def _pieces(match: re.Match[str], room: int) -> Iterator[tuple[int, int]]:
    """Yield where a word is; Chinese and others have no blanks, and break anywhere."""
    start, end = match.span()
    word = match.group()
    if word.isascii() or " " in word or cells(word) <= room:
        yield start, end
    else:
        for piece in _BREAKABLE.finditer(match.string, start, end):
            yield piece.span()


def folded(text: str, room: int) -> list[str]:
    """Return the lines of a text, as :func:`fold` finds them."""
    return [text[one] for one in fold(text, room)] or [""]


def lines_for(text: str, where: TextIO, indent: int = 0) -> str:
    """Return a text as it is printed to `where`: folded at a terminal, as it is elsewhere.

    Parameters
    ----------
    indent
        Blanks before each line. Lines that the text itself has stay lines.
    """
    margin = " " * indent
    room = width_of_terminal(where)
    several = text.splitlines() or [""]
    if room is not None:
        room = max(1, room - indent)
        # What has room stays as it is, with blanks at its begin.
        several = [
            one
            for line in several
            for one in ([line] if cells(line) <= room else folded(line, room))
        ]
    return "\n".join(margin + line for line in several)


def width_of_terminal(where: TextIO) -> int | None:
    """Return the characters of a line, None if `where` is no terminal."""
    if not where.isatty():
        return None
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(where.fileno()).columns or USUAL
    except (OSError, ValueError):
        return USUAL


def say(text: str, indent: int = 0, *, err: bool = False, colour: str = "") -> None:
    """Print a sentence, or several lines of them; it may come from outside.

    Parameters
    ----------
    indent
        Blanks before each line.
    err
        To standard error.
    """
    where = sys.stderr if err else sys.stdout
    shown = lines_for(escaped(text), where, indent)
    click.secho(shown, fg=colour or None, err=err, color=colours())
