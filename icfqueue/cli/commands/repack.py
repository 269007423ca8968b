"""``icfqueue repack``: a tarball of which DataLad can give each image back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from icfqueue.cli.options import project_argument, store_dir_option, visit_meant
from icfqueue.cli.session import load_settings
from icfqueue.cli.shell.again import ours
from icfqueue.cli.shell.completers import complete_visits
from icfqueue.core.plain_text import escaped

if TYPE_CHECKING:
    from icfqueue.archive.repack import Change

SHOWN = 20
"""Changes that are printed; the list beside the tarball has all."""


@click.command()
@project_argument
@click.argument("visit", callback=visit_meant, shell_complete=complete_visits)
@click.option(
    "--replace",
    is_flag=True,
    help="Give the new tarball the place of the old one, which is kept beside it.",
)
@store_dir_option
def repack(project: str, visit: str, *, replace: bool, **where: Any) -> int:
    """Pack the tarball of VISIT again so that DataLad can give each image back.

    Members that no dataset can have ('&', '#', a leading './', …) are renamed, links
    become files, of doubled names each gets its own, a compressed tarball becomes a plain
    one. The new tarball lies beside the old one, with a list of what was changed.
    """
    from icfqueue.archive.repack import repack as pack
    from icfqueue.core.errors import StepError
    from icfqueue.core.plain_text import size
    from icfqueue.core.visit import Visit
    from icfqueue.store.directory import Store

    store = Store.of(load_settings(where))
    meant = Visit(project, visit)
    try:
        done = pack(store, meant, replace=replace)
    except StepError as error:
        # Its remedies are commands about a visit.
        raise error.at(project=project, visit=visit, step="") from error.__cause__
    if done.path is None:
        click.echo(f"{meant}: nothing is to be mended; no file was written")
        return 0
    if done.unpacked:
        click.echo("it was compressed")
    _tell(done.changes)
    click.echo(f"{meant}: {done.dicoms} DICOMs, {size(done.size)}, MD5 {done.md5}")
    click.echo(f"new tarball: {done.path}")
    click.echo(f"list of changes: {done.listed}")
    if done.kept:
        click.echo(f"old tarball: {done.kept}")
        click.echo(f"to go on with it: {ours('run', project, visit, '--force')}")
    return 0


def _tell(changes: tuple[Change, ...]) -> None:
    """Print what was changed, each with the reason, as far as it fits on a page."""
    for change in changes[:SHOWN]:
        became = f"now {change.new!r}" if change.new else "left out"
        click.echo(escaped(f"{change.old!r} {change.why}: {became}"))
    if len(changes) > SHOWN:
        click.echo(f"… and {len(changes) - SHOWN} more")
