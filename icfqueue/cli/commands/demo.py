"""``icfqueue demo``: see the whole way on a small project."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("demo-store"),
    show_default=True,
    help="Folder to build it in.",
)
@click.option(
    "--visits",
    type=click.IntRange(1, 50),
    default=4,
    show_default=True,
    help="How many visits its project has.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Worker processes.",
)
def demo(folder: Path, visits: int, jobs: int) -> int:
    """Show the whole way on a small made-up project, in a folder of its own."""
    from icfqueue.demo.tour import tour

    return tour(folder, visits, jobs, _Stage())


class _Stage:
    """Shows the demonstration on the terminal."""

    def headline(self, words: str) -> None:
        click.secho(f"\n{words}", bold=True)

    def command(self, words: str) -> None:
        click.secho(f"   $ {words}", dim=True)

    def line(self, words: str, *, good: bool = False) -> None:
        click.secho(f"   {words}", fg="green" if good else None)
