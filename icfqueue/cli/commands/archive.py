"""``icfqueue archive``: a visit's tarball from folders of DICOM files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from icfqueue.cli.options import project_argument, visit_meant
from icfqueue.cli.session import load_settings
from icfqueue.cli.shell.again import noted, ours, this_again
from icfqueue.cli.shell.completers import complete_visits


@click.command()
@project_argument
@click.argument("visit", callback=visit_meant, shell_complete=complete_visits)
@click.argument(
    "folders",
    metavar="FOLDER...",
    nargs=-1,
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
)
@click.option(
    "--store-dir",
    "-o",
    metavar="STORE",
    type=click.Path(path_type=Path),
    callback=noted,
    help="Store directory.  [env ICFQUEUE_STORE_DIR; default: this folder]",
)
@click.option("--force", is_flag=True, help="Replace another tarball of that visit.")
@click.option(
    "--several-studies",
    is_flag=True,
    help="Take DICOM files of more than one study for one visit.",
)
def archive(
    project: str,
    visit: str,
    folders: tuple[Path, ...],
    *,
    force: bool,
    several_studies: bool,
    **where: Any,
) -> int:
    """Write the tarball of VISIT from the files in FOLDERs, and its MD5 beside it.

    The same files make the same bytes, whoever does it, where and when. What is in a
    FOLDER lies below PROJECT_VISIT/ in the tarball. Nothing is written if a name, a link
    or a second study would keep the tarball from becoming a dataset; a tarball that is
    there with other content is left alone.
    """
    from icfqueue.archive import make
    from icfqueue.core.errors import ArchiveExists
    from icfqueue.core.plain_text import size
    from icfqueue.core.visit import Visit
    from icfqueue.store.directory import Store

    store = Store.of(load_settings(where))
    meant = Visit(project, visit)
    try:
        done = make.archive(
            store, meant, folders, force=force, several_studies=several_studies
        )
    except ArchiveExists as error:
        again = f"`{this_again()} --force` replaces it"
        raise ArchiveExists(error.message, hint=again) from error
    dicoms = "1 DICOM" if done.dicoms == 1 else f"{done.dicoms} DICOMs"
    others = done.files - done.dicoms
    more = f" and {others} other{'s' * (others > 1)}" if others else ""
    click.echo(f"{meant}: {done.state}, {dicoms}{more}, {size(done.size)}, MD5 {done.md5}")
    if done.undated == 1:
        click.echo("1 DICOM file says no date; it has the newest of all")
    elif done.undated:
        click.echo(f"{done.undated} DICOM files say no date; they have the newest of all")
    if done.state == "replaced":
        again = ours("run", project, visit, "--force")
        click.echo(f"outputs of the other one are made anew by: {again}")
    return 0
