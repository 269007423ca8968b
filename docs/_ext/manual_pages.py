"""Write the manual pages, made of the commands' own help: ``manual_pages.py FOLDER``.

One for ``icfqueue`` and one for each command, as ``git`` has it: ``man icfqueue-run``.
In the macros of man(7), for a package to install into ``share/man/man1``.
"""

from __future__ import annotations

import inspect
import os
import sys
import time
from pathlib import Path

import click

from icfqueue import __version__
from icfqueue.cli.group import cli

EXITS = (
    ("0", "All is well."),
    ("1", "A visit failed, differs or was left out."),
    ("2", "Wrong usage."),
    ("3", "Broker or store not reachable."),
    ("130", "Ended by Ctrl-C."),
    ("143", "Ended by SIGTERM, which is as Ctrl-C."),
)


def write_pages(folder: Path) -> list[Path]:
    """Write every page into `folder`, which is made; return where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    context = click.Context(cli, info_name="icfqueue")
    pages = {"icfqueue": page(cli, context)}
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if command is not None:
            inner = click.Context(command, info_name=name, parent=context)
            pages[f"icfqueue-{name}"] = page(command, inner)
    written = []
    for name, text in pages.items():
        written.append(folder / f"{name}.1")
        written[-1].write_text(text, encoding="utf-8")
    return written


def page(command: click.Command, context: click.Context) -> str:
    """Return the page of one command."""
    name = context.command_path.replace(" ", "-")
    lines = [f'.TH {name.upper()} 1 {_date()} "icfqueue {__version__}"']
    lines += [".SH NAME", f"{_text(name)} \\- {_text(_what(command))}"]
    usage = " ".join(command.collect_usage_pieces(context))
    lines += [".SH SYNOPSIS", f"\\fB{_text(context.command_path)}\\fP {_text(usage)}"]
    lines += [".SH DESCRIPTION", *_paragraphs(inspect.cleandoc(command.help or ""))]
    lines += [".SH OPTIONS"]
    for option in command.get_params(context):
        said = option.get_help_record(context) if isinstance(option, click.Option) else None
        if said:
            lines += [".TP", f"\\fB{_text(' '.join(said[0].split()))}\\fP", _text(said[1])]
    if isinstance(command, click.Group):
        lines += [".SH COMMANDS"]
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is not None:
                lines += [".TP", f"\\fB{name}\\-{inner}\\fP(1)", _text(_what(found))]
    if command.epilog:
        lines += [".SH EXAMPLES", *_paragraphs("\b\n" + command.epilog.partition(":\n")[2])]
    lines += [".SH EXIT STATUS"]
    for code, meaning in EXITS:
        lines += [".TP", code, meaning]
    others = "the pages that 'make docs' makes"
    also = f"\\fBicfqueue\\fP(1), {others}" if context.parent else others
    return "\n".join([*lines, ".SH SEE ALSO", also, ""])


def _what(command: click.Command) -> str:
    """Return the first sentence of a command's help."""
    first = " ".join(inspect.cleandoc(command.help or "").split("\n\n")[0].split())
    return first.rstrip(".")


def _paragraphs(text: str) -> list[str]:
    """Return paragraphs; those that click does not rewrap stay as they are."""
    lines = []
    for part in text.split("\n\n"):
        if part.startswith("\b"):
            shown = part.removeprefix("\b").strip("\n").split("\n")
            lines += [".PP", ".nf", *map(_text, shown), ".fi"]
        else:
            lines += [".PP", _text(" ".join(part.split()))]
    return lines


def _text(text: str) -> str:
    """Return `text` so that troff prints it as it is; one line."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    # At the start of a line these begin a request.
    return f"\\&{text}" if text.startswith((".", "'")) else text


def _date() -> str:
    """Return today, or the day that a reproducible build is given."""
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
