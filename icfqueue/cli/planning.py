"""What ``run`` and ``enqueue`` share: which visits, what is planned, what was enqueued."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from icfqueue.cli.session import Session
from icfqueue.core.errors import UsageError

if TYPE_CHECKING:
    from icfqueue.core.options import Options
    from icfqueue.core.settings import Settings
    from icfqueue.core.visit import Visit
    from icfqueue.operations.enqueue import Enqueued, Plan
    from icfqueue.operations.select_visits import Selection


_TOLD = 100
"""Tarballs without a visit that are named."""

_UNSEEN = 5
"""Visits that nobody has seen and that are named."""

_WIDTH = 255
"""Characters of a name that are shown; files have no longer ones."""


def options_of(chosen: Settings, wanted: dict[str, Any]) -> Options:
    """Return what the options of ``run`` and ``enqueue`` ask for."""
    from icfqueue.core.options import Options

    return Options(
        store_url=chosen.store_url,
        credential=chosen.credential,
        force=wanted["force"],
        catalog=not wanted["no_catalog"],
        remove_tarball=wanted["remove_tarball"],
        remove_metadata=wanted["remove_metadata"],
        superdataset=chosen.superdataset and not wanted["no_superdataset"],
    )


def chosen_visits(
    opened: Session, project: str, named: Sequence[str], wanted: dict[str, Any]
) -> Selection:
    """Return the visits that a command is about; say what was left out or mistyped.

    Raises
    ------
    UsageError
        There are none, with a guess at why.
    """
    from icfqueue.operations.select_visits import select_visits

    listed = _lines(wanted["visits_file"]) if wanted["visits_file"] else None
    if wanted["remote"] and sys.stderr.isatty():
        # It may take minutes, and nothing else is seen of it.
        click.echo(f"Listing {opened.settings.store_url}/{project}/ …", err=True)
    with ExitStack() as stack:
        remote = stack.enter_context(opened.remote()) if wanted["remote"] else None
        found = select_visits(opened.store, project, named, listed=listed, remote=remote)
    for visit, near in found.mistyped:
        click.secho(
            f"{visit.id} has no tarball here and is looked for at the store URL; "
            f"did you mean {near}?",
            fg="yellow",
            err=True,
        )
    _tell_unseen(opened, found)
    for name, why in found.left_out[:_TOLD]:
        # `repr` escapes what is not printable.
        click.secho(f"left out: {name[:_WIDTH]!r} ({why})", fg="yellow", err=True)
    if more := found.more_left_out + len(found.left_out[_TOLD:]):
        click.secho(f"left out: {more} more", fg="yellow", err=True)
    found.check_found()
    return found


def _tell_unseen(opened: Session, found: Selection) -> None:
    """Say which of the visits that were named nobody has seen: they may be mistyped."""
    entries = opened.ledger.get_many(visit for visit, _ in found.unseen)
    unseen = [one for one, entry in zip(found.unseen, entries, strict=True) if not entry]
    for visit, near in unseen[:_UNSEEN]:
        like = f" (here: {', '.join(near)})" if near else ""
        click.secho(
            f"{visit.id} has neither tarball nor record here{like}: "
            "it is looked for at the store URL",
            fg="yellow",
            err=True,
        )
    if more := len(unseen[_UNSEEN:]):
        click.secho(f"so are {more} more", fg="yellow", err=True)


def _lines(listed: Path) -> list[str]:
    """Return what a file of visits names, without comments."""
    try:
        with click.open_file(str(listed), encoding="utf-8") as lines:
            texts = [line.strip() for line in lines]
    except OSError as error:
        raise UsageError(
            f"{listed} cannot be read: {error.strerror}", hint="--visits-file names it"
        ) from None
    except UnicodeDecodeError:
        raise UsageError(
            f"{listed} is no text in UTF-8", hint="--visits-file names visits, one a line"
        ) from None
    return [text for text in texts if text and text[0] != "#"]


def counted(count: int, what: str) -> str:
    """Return a number of things in words: ``1 visit``, ``2 visits``."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def tell_plans(plans: Sequence[Plan]) -> None:
    """Print what would be done, and why."""
    for plan in plans:
        click.echo(f"{plan.visit.id}\t{plan.deed}\t{plan.why}")
    counts = Counter(plan.deed for plan in plans)
    words = ", ".join(f"{count} {deed}" for deed, count in counts.items())
    click.echo(f"{counted(len(plans), 'visit')}: {words}; nothing was changed")


def tell_enqueued(project: str, done: Enqueued) -> None:
    """Print how many visits were enqueued, and how many were not to be."""
    words = [f"{done.enqueued} enqueued"]
    if done.left:
        words.append(f"{done.left} under way already")
    if done.up_to_date:
        words.append(f"{done.up_to_date} up to date")
    if done.unreadable:
        words.append(f"{done.unreadable} left alone, whose records cannot be read")
    click.echo(f"{project}: {', '.join(words)}")


def tell_left_alone(wanted: Iterable[Visit], done: Iterable[Visit], why: str) -> None:
    """Print which of the visits `wanted` are not among those `done`."""
    others = set(done)
    names = [visit.id for visit in wanted if visit not in others]
    if names:
        click.echo(f"left alone ({why}): {', '.join(names)}")
