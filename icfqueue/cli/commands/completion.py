"""``icfqueue completion``: what a shell needs to complete commands, projects, visits."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print what has a shell complete commands, options, projects, visits and causes.

    For this shell alone: eval "$(icfqueue completion bash)"; for all to come, put it into
    the file of the example. Projects and visits come from the store directory and, if it
    answers at once, from the broker.
    """
    from click.shell_completion import get_completion_class

    from icfqueue.cli.group import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"click knows no shell {shell}")
    click.echo(kind(cli, {}, "icfqueue", "_ICFQUEUE_COMPLETE").source())
    return 0
