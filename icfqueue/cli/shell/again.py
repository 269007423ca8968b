"""Commands that are printed for a person to paste: whole, quoted, for the same store.

Who gave ``--store-dir`` on the command line has to give it again to whatever command a
remedy names; so it is added there.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable
from typing import Any

import click

PROJECT = "icfqueue.project"
"""Under this name a context knows the project that its command is about."""

PLACE = "icfqueue.place"
"""Under this name a context knows the words that say where store and broker are."""

_OURS = r"(?P<quote>['`])icfqueue (?P<words>(?:(?!(?P=quote)).)+)(?P=quote)"
_BETWEEN = r"( && | \|\| |; )"
_IS_PLAIN = r"[\w./:=@%+,-]+(?: (?:[\w./:=@%+,-]+|'[^']*'))*"
"""A command line that shlex takes apart and puts together again as it was."""

_ONCE = frozenset({"force", "dry_run"})
"""Options that would begin anew what is to go on, or do nothing."""


def noted(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Remember an option that says where store or broker is; a callback."""
    if value is not None and param.name and _given(ctx, param):
        ctx.meta.setdefault(PLACE, {})[param.opts[0]] = str(value)
    return value


def ours(*words: str, place: dict[str, str] | None = None) -> str:
    """Return a command of icfqueue for the store and broker of this one.

    Parameters
    ----------
    words
        Of the command line, without ``icfqueue``.
    place
        Options that say where they are; those of the command that runs by default.
    """
    given = _place() if place is None else place
    taken = _takes(words)
    more = [
        word
        for option, value in given.items()
        if option in taken and option not in words
        for word in (option, value)
    ]
    return shlex.join(["icfqueue", *words, *more])


def whole(text: str, place: dict[str, str] | None = None) -> str:
    """Return a remedy whose commands of icfqueue are for the store of this one.

    Parameters
    ----------
    text
        With commands in backticks or single quotes, or one command alone.
    place
        As for :func:`ours`.
    """
    given = _place() if place is None else place
    if not given:
        return text
    if text.startswith("icfqueue "):
        return _whole(text, given)
    return re.sub(
        _OURS,
        lambda found: (
            # Quotes may be needed in it now.
            f"`{_whole('icfqueue ' + found['words'], given)}`"
        ),
        text,
    )


def _whole(line: str, place: dict[str, str]) -> str:
    """Return a line of one or more commands, each of ours with what it lacks."""
    parts = re.split(_BETWEEN, line)
    return "".join(
        ours(*shlex.split(part)[1:], place=place)
        if part.startswith("icfqueue ") and re.fullmatch(_IS_PLAIN, part, re.ASCII)
        else part
        for part in parts
    )


def this_again(*otherwise: str) -> str:
    """Return the command that runs, as it is to be typed for it to go on.

    Parameters
    ----------
    otherwise
        Words of the command where none was typed.
    """
    ctx = click.get_current_context(silent=True)
    if ctx is None or ctx.info_name is None:
        return ours(*otherwise)
    words = [ctx.info_name]
    for param in ctx.command.get_params(ctx):
        name = param.name or ""
        if name not in _ONCE and _given(ctx, param) and not _is_input(param, ctx):
            words += _words(param, ctx.params[name])
    return shlex.join(["icfqueue", *words])


def _is_input(param: click.Parameter, ctx: click.Context) -> bool:
    """Return whether an option is standard input, which cannot be given again."""
    return str(ctx.params[param.name or ""]) == "-"


def _words(param: click.Parameter, value: Any) -> list[str]:
    if isinstance(param, click.Argument):
        return [str(one) for one in value] if param.nargs == -1 else [str(value)]
    if isinstance(param, click.Option) and (param.is_flag or param.count):
        return (param.opts if value else param.secondary_opts)[:1]
    values: Iterable[Any] = value if param.multiple or param.nargs == -1 else (value,)
    return [word for one in values for word in (param.opts[0], str(one))]


def _given(ctx: click.Context, param: click.Parameter) -> bool:
    source = ctx.get_parameter_source(param.name or "")
    return source == click.core.ParameterSource.COMMANDLINE


def _place() -> dict[str, str]:
    ctx = click.get_current_context(silent=True)
    found: dict[str, str] = ctx.meta.get(PLACE, {}) if ctx else {}
    return found


def _takes(words: Collection[str]) -> set[str]:
    """Return the options that a command has."""
    from icfqueue.cli.group import cli

    name = next(iter(words), "")
    command = cli.get_command(click.Context(cli), name)
    return (
        {option for param in command.params for option in param.opts} if command else set()
    )
