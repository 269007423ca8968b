"""All commands, in the order in which a new user needs them."""

from __future__ import annotations

import importlib

import click

from icfqueue import __version__

COMMANDS = (
    "demo",
    "doctor",
    "run",
    "enqueue",
    "worker",
    "status",
    "retry",
    "cancel",
    "verify",
    "catalog",
    "serve",
    "deploy",
    "reconcile",
    "forget",
    "clone",
    "range",
    "references",
)
"""Each is the one command in the module of its name."""


class InOrder(click.Group):
    """Lists the commands in order, imports the one that is called, guesses at typos."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Return the command, or None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"icfqueue.cli.commands.{cmd_name}")
        return next(one for one in vars(module).values() if isinstance(one, click.Command))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command, or say which one may have been meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            guess = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(error.message + guess, ctx) from None


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"]})
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
