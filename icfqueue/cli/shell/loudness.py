"""How much a command says: ``-v`` and ``-q``, before a command's name or behind it."""

from __future__ import annotations

import os
from contextlib import redirect_stdout

import click

_VERBOSE = "icfqueue.verbose"
_QUIET = "icfqueue.quiet"


def loudness_options() -> list[click.Parameter]:
    """Return the options that every command has."""
    return [
        click.Option(
            ["-v", "--verbose"],
            count=True,
            expose_value=False,
            callback=_more,
            help="Say more; twice: all that is logged.",
        ),
        click.Option(
            ["-q", "--quiet"],
            is_flag=True,
            expose_value=False,
            callback=_less,
            help="Print nothing but warnings and errors.",
        ),
    ]


def verbose() -> int:
    """Return how often the running command was told to say more."""
    ctx = click.get_current_context(silent=True)
    return ctx.meta.get(_VERBOSE, 0) if ctx else 0


def is_quiet() -> bool:
    """Return whether the running command is to print nothing but warnings and errors."""
    ctx = click.get_current_context(silent=True)
    return bool(ctx and ctx.meta.get(_QUIET))


def _more(ctx: click.Context, param: click.Parameter, value: int) -> None:
    del param
    if not value or ctx.resilient_parsing:
        return
    ctx.meta[_VERBOSE] = ctx.meta.get(_VERBOSE, 0) + value
    import logging

    from icfqueue.core.plain_text import escape_record

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    handler.addFilter(escape_record)
    log = logging.getLogger("icfqueue")
    before = log.level
    log.setLevel(logging.DEBUG if ctx.meta[_VERBOSE] > 1 else logging.INFO)
    log.addHandler(handler)

    def undo() -> None:
        log.removeHandler(handler)
        log.setLevel(before)

    ctx.call_on_close(undo)


def _less(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    del param
    if value and not ctx.resilient_parsing:
        ctx.meta[_QUIET] = True
        nowhere = ctx.with_resource(open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - the context closes it
        ctx.with_resource(redirect_stdout(nowhere))
