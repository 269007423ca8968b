"""All commands, in the order in which a new user needs them."""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click

from icfqueue import __version__
from icfqueue.cli.shell.again import PLACE, PROJECT, STORE
from icfqueue.cli.shell.colours import colours
from icfqueue.cli.shell.examples import examples_of
from icfqueue.cli.shell.loudness import loudness_options

COMMANDS = (
    "demo",
    "doctor",
    "archive",
    "run",
    "enqueue",
    "worker",
    "status",
    "workers",
    "logs",
    "events",
    "retry",
    "cancel",
    "repack",
    "verify",
    "catalog",
    "report",
    "series",
    "find",
    "serve",
    "deploy",
    "metrics",
    "reconcile",
    "forget",
    "clone",
    "range",
    "references",
    "config",
    "completion",
)
"""Each is the one command in the module of its name."""


HELP = ["-h", "--help"]


class NoReader(Exception):
    """The reader of a pipe went away, as ``| head`` does."""


@contextmanager
def _told_apart() -> Iterator[None]:
    """Raise :class:`NoReader` for a broken pipe, which click and rich end with 1."""
    try:
        yield
    except BrokenPipeError:
        raise NoReader from None
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):
            raise NoReader from None
        raise


class InOrder(click.Group):
    """Lists the commands in order, imports the one that is called, guesses at typos.

    Attributes
    ----------
    place
        The options by which the last command was told where store and broker are, for
        remedies that are printed when it has ended.

    project
        The project that it was about, if any.

    store
        The store directory that it worked in, if it came so far.
    """

    place: dict[str, str]
    project: str
    store: str

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self.place = {}
        self.project = ""
        self.store = ""
        self._dressed: set[str] = set()

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Return the context, in which NO_COLOR and FORCE_COLOR are obeyed."""
        extra.setdefault("color", colours())
        with _told_apart():
            return super().make_context(info_name, args, parent, **extra)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse what stands before the command; say where an option of one belongs."""
        words = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            meant = self._behind(ctx, words)
            if meant is None:
                raise
            option = error.option_name
            said = f"{option} stands behind the command: `{shlex.join(meant)}`"
            raise click.UsageError(said, ctx) from None

    def _behind(self, ctx: click.Context, words: list[str]) -> list[str] | None:
        """Return the command whose options stand before it, with them behind."""
        found = [
            (word, [*words[at + 1 :], *words[:at]])
            for at, word in enumerate(words)
            if word in COMMANDS
        ]
        for word, behind in [*found, ("status", words)]:
            command = self.get_command(ctx, word)
            if command is None:
                continue
            with suppress(click.UsageError):
                # Whether it has them; what they say is looked at when it is pasted.
                command.make_parser(click.Context(command)).parse_args(list(behind))
                return ["icfqueue", word, *behind]
        return None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; keep in mind where its store and broker are."""
        try:
            with _told_apart():
                return super().invoke(ctx)
        finally:
            self.place = ctx.meta.get(PLACE, {})
            self.store = ctx.meta.get(STORE, "")
            self.project = ctx.meta.get(PROJECT, "")

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Return the command, or None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"icfqueue.cli.commands.{cmd_name}")
        found = next(one for one in vars(module).values() if isinstance(one, click.Command))
        if cmd_name not in self._dressed:
            self._dressed.add(cmd_name)
            # click keeps for good what the first context that asks calls it: this one.
            found.context_settings["help_option_names"] = HELP
            found.get_help_option(click.Context(found, help_option_names=HELP))
            found.params += loudness_options()
            found.epilog = examples_of(cmd_name)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command, or say which one may have been meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            # Newer releases of click guess by themselves.
            words = f"No such command {args[0]!r}." if near else error.message
            guess = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(words + guess, ctx) from None


@click.group(cls=InOrder, context_settings={"help_option_names": HELP})
@click.version_option(__version__, prog_name="icfqueue")
def cli() -> None:
    """Turn whole projects of DICOM tarballs into lightweight DataLad datasets.

    \b
    First steps:
      icfqueue demo              see it work on a small project, in seconds
      icfqueue doctor            check what is needed here
      icfqueue run PROJECT       do a whole project on this machine
      icfqueue status PROJECT    see where it stands

    On a cluster: `icfqueue worker` on each node, `icfqueue enqueue PROJECT` anywhere.
    Settings also come from ICFQUEUE_… variables and from icfqueue.toml.
    """  # noqa: D301 - click wants the character \b itself before what is not rewrapped


cli.params += loudness_options()
