"""Commands that are printed for a person to paste: whole, quoted, for the same store.

Who gave ``--store-dir`` on the command line has to give it again to whatever command a
remedy names; so it is added there. What lies below this package names commands and files
without it, in single quotes or backticks; whatever is printed of that goes through
:func:`whole`, after which all of them stand in backticks.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from icfqueue.core.plain_text import for_store, for_visit

if TYPE_CHECKING:
    from icfqueue.core.errors import IcfqueueError
    from icfqueue.core.visit import Visit

PROJECT = "icfqueue.project"
"""Under this name a context knows the project that its command is about."""

TYPED = "icfqueue.typed"
"""Under this name a context knows what was typed for the project."""

PLACE = "icfqueue.place"
"""Under this name a context knows the words that say where store and broker are."""

STORE = "icfqueue.store"
"""Under this name a context knows the store directory, in whole."""

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


def whole(text: str, place: dict[str, str] | None = None, store: str | None = None) -> str:
    """Return a remedy whose commands are for the store of this one.

    Parameters
    ----------
    text
        With commands in backticks or single quotes, or one command alone.
    place
        As for :func:`ours`.
    store
        The store directory, for the names of files; that of the command that runs by
        default.
    """
    given = _place() if place is None else place
    if folder := store or store_dir():
        text = for_store(text, folder)
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


def remedy(error: IcfqueueError, visit: Visit) -> str:
    """Return what to do about an error of a visit."""
    return whole(for_visit(error.hint, visit.project, visit.id))


def nobody_works(project: str | None = None, *visits: str) -> str:
    """Return that no worker is running, and what to do about it.

    Parameters
    ----------
    project, visits
        What is to be worked on, where that is known.
    """
    said = f"No worker is running: start `{ours('worker')}`"
    if project is None:
        return f"{said}."
    return f"{said}, or use `{ours('run', project, *visits)}`."


def this_again(*otherwise: str, without: Collection[str] = ()) -> str:
    """Return the command that runs, as it is to be typed for it to go on.

    Parameters
    ----------
    otherwise
        Words of the command where none was typed.
    without
        Names of arguments and options that are not needed for that.
    """
    ctx = click.get_current_context(silent=True)
    if ctx is None or ctx.info_name is None:
        return ours(*otherwise)
    return _typed(ctx, without={*_ONCE, *without})


def this_with(**other: Any) -> str:
    """Return the command that runs, with other values of some of its parameters."""
    return _typed(click.get_current_context(), other=other)


def _typed(
    ctx: click.Context,
    *,
    without: Collection[str] = (),
    other: Mapping[str, Any] | None = None,
) -> str:
    """Return a command line as it was typed, as far as that can be given again."""
    words = ["icfqueue", ctx.info_name or ""]
    changed = other or {}
    for param in ctx.command.get_params(ctx):
        name = param.name or ""
        if name in changed:
            words += _words(param, changed[name])
        elif name not in without and _given(ctx, param) and not _is_input(param, ctx):
            words += _words(param, ctx.params[name])
    return shlex.join(words)


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


def store_dir() -> str:
    """Return the store directory of the command that runs; empty if it has none."""
    ctx = click.get_current_context(silent=True)
    found: str = ctx.meta.get(STORE, "") if ctx else ""
    return found


def place_from_afar() -> dict[str, str]:
    """Return the options that say where store and broker are, for who is elsewhere."""
    from icfqueue.core.settings import whole_path

    found = dict(_place())
    if folder := found.get("--store-dir"):
        found["--store-dir"] = str(whole_path(folder))
    return found


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
