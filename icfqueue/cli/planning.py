"""What ``run`` and ``enqueue`` share: which visits, what is planned, what was enqueued."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from icfqueue.cli.session import Session, is_new, load_settings, session
from icfqueue.cli.shell.folding import say
from icfqueue.core.errors import NothingYet, UsageError

if TYPE_CHECKING:
    from icfqueue.core.options import Options
    from icfqueue.core.settings import Settings
    from icfqueue.core.visit import Visit
    from icfqueue.operations.enqueue import Enqueued, Plan
    from icfqueue.operations.select_visits import Selection, Sources
    from icfqueue.store.near_misses import NearMiss


_TOLD = 100
"""Tarballs without a visit that are named."""

_NEAR = 3
"""Files that are nearly tarballs and that are named, for each reason."""

_WIDTH = 255
"""Characters of a name that are shown; files have no longer ones."""


def options_of(chosen: Settings, wanted: dict[str, Any]) -> Options:
    """Return what the options of ``run`` and ``enqueue`` ask for."""
    from icfqueue.core.options import Options

    stream = wanted["stream"]
    if stream is None:
        # What is to be removed need not be written.
        stream = chosen.stream or wanted["remove_tarball"]
    return Options(
        store_url=chosen.store_url,
        credential=chosen.credential,
        force=wanted["force"],
        catalog=not wanted["no_catalog"],
        remove_tarball=wanted["remove_tarball"],
        remove_metadata=wanted["remove_metadata"],
        superdataset=chosen.superdataset and not wanted["no_superdataset"],
        stream=stream,
    )


def visits_of_new_store(
    project: str, named: Sequence[str], wanted: dict[str, Any]
) -> Selection | None:
    """Return the visits that a command is about where nothing was ever done, else None.

    They are looked for before a broker is started and the store directory gets an id: a
    wrong one is to be left as it is.

    Raises
    ------
    UsageError
        As :func:`chosen_visits`.
    """
    from icfqueue.operations.select_visits import Sources
    from icfqueue.remote.client import RemoteStore
    from icfqueue.store.directory import Store

    settings = load_settings(wanted)
    store = Store.of(settings)
    store.check_is_there()
    if not is_new(store):
        return None
    try:
        with session(wanted, asking=True) as opened:
            if opened.ledger.store_id(None) is not None:
                # It works for another directory: a mount may be missing here.
                return None
            return chosen_visits(opened, project, named, wanted)
    except NothingYet:
        sources = Sources(store, None, partial(RemoteStore.of, settings))
        return _chosen(sources, settings, project, named, wanted)


def chosen_visits(
    opened: Session, project: str, named: Sequence[str], wanted: dict[str, Any]
) -> Selection:
    """Return the visits that a command is about; say what was left out or not taken.

    Raises
    ------
    UsageError
        There are none, with a guess at why.
    """
    from icfqueue.operations.select_visits import Sources

    sources = Sources(opened.store, opened.ledger, opened.remote)
    return _chosen(sources, opened.settings, project, named, wanted)


def _chosen(
    sources: Sources,
    settings: Settings,
    project: str,
    named: Sequence[str],
    wanted: dict[str, Any],
) -> Selection:
    from icfqueue.operations.select_visits import select_visits

    listed = _lines(wanted["visits_file"]) if wanted["visits_file"] else None
    if wanted["remote"] and sys.stderr.isatty():
        # It may take minutes, and nothing else is seen of it.
        say(f"Listing {settings.store_url}/{project}/ …", err=True)
    found = select_visits(
        sources,
        project,
        named,
        listed=listed,
        remote=wanted["remote"],
    )
    _tell_near_misses(found.near_misses)
    for name, why in found.left_out[:_TOLD]:
        # `repr` escapes what is not printable.
        say(f"left out: {name[:_WIDTH]!r} ({why})", err=True, colour="yellow")
    if more := found.more_left_out + len(found.left_out[_TOLD:]):
        say(f"left out: {more} more", err=True, colour="yellow")
    found.check_found()
    return found


def _tell_near_misses(misses: Sequence[NearMiss]) -> None:
    """Say which files are no visits' tarballs: a line for each reason, and what helps."""
    by_reason: dict[str, list[NearMiss]] = {}
    for miss in misses:
        by_reason.setdefault(miss.why, []).append(miss)
    for why, alike in by_reason.items():
        names = ", ".join(miss.name for miss in alike[:_NEAR])
        more = f" and {len(alike) - _NEAR} more" if alike[_NEAR:] else ""
        say(f"not taken: {names}{more}: {why}", err=True, colour="yellow")
        for miss in alike[:_NEAR]:
            say(miss.remedy, 2, err=True)


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
    from icfqueue.cli.display.fitting import Column
    from icfqueue.cli.rows import print_table
    from icfqueue.operations.enqueue import Deed

    columns = (Column("visit"), Column("to do"), Column("why", prose=True))
    print_table(
        columns,
        [
            (plan.visit.id, "process" if plan.deed == Deed.ENQUEUE else "nothing", plan.why)
            for plan in plans
        ],
    )
    counts = Counter(plan.deed for plan in plans)
    words = ", ".join(f"{count} {deed}" for deed, count in counts.items())
    say(f"{counted(len(plans), 'visit')}: {words}; nothing was changed")


def tell_enqueued(project: str, done: Enqueued) -> None:
    """Print how many visits were enqueued, and how many were not to be."""
    words = [f"{done.enqueued} enqueued"]
    if done.left:
        words.append(f"{done.left} under way already")
    if done.up_to_date:
        words.append(f"{done.up_to_date} up to date")
    if done.unreadable:
        words.append(f"{done.unreadable} left alone, whose records cannot be read")
    say(f"{project}: {', '.join(words)}")


def tell_left_alone(wanted: Iterable[Visit], done: Iterable[Visit], why: str) -> None:
    """Print which of the visits `wanted` are not among those `done`."""
    others = set(done)
    names = [visit.id for visit in wanted if visit not in others]
    if names:
        say(f"left alone ({why}): {', '.join(names)}")
