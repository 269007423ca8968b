"""Options that commands share, and what they all need to begin."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from icfqueue.core.errors import UsageError

if TYPE_CHECKING:
    from icfqueue.broker.connection import Broker
    from icfqueue.broker.embedded import EmbeddedServer
    from icfqueue.core.settings import Settings
    from icfqueue.core.visit import Visit
    from icfqueue.ledger.ledger import Ledger
    from icfqueue.pipeline.messages import Messages
    from icfqueue.steps.job import Options
    from icfqueue.store.directory import Store

F = TypeVar("F", bound=Callable[..., Any])


def where_options(function: F) -> F:
    """Add the options that say where store and broker are."""
    for option in reversed(
        [
            click.option(
                "--store-dir",
                type=click.Path(path_type=Path),
                help="Store directory.  [env ICFQUEUE_STORE_DIR; default: this folder]",
            ),
            click.option(
                "--store-url",
                metavar="URL",
                help="Store on the web.  [env ICFQUEUE_STORE_URL; "
                "default: https://data.inm-icf.de]",
            ),
            click.option(
                "--broker",
                metavar="URL",
                help="Redis or Valkey.  [env ICFQUEUE_BROKER_URL; "
                "default: an embedded server]",
            ),
        ]
    ):
        function = option(function)
    return function


def visit_arguments(function: F) -> F:
    """Add the arguments PROJECT [VISIT…]."""
    function = click.argument("visits", nargs=-1, metavar="[VISIT]...")(function)
    return click.argument("project")(function)


def work_options(function: F) -> F:
    """Add the options that ``run`` and ``enqueue`` share."""
    for option in reversed(
        [
            click.option(
                "--remote", is_flag=True, help="Add every visit that the store URL lists."
            ),
            click.option(
                "--visits-file",
                type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
                help="Add the visits that a file names, one a line; '-' is standard input.",
            ),
            click.option(
                "--credential", metavar="NAME", help="DataLad credential for the store."
            ),
            click.option(
                "--force",
                is_flag=True,
                help="Make everything anew; accept a changed tarball.",
            ),
            click.option("--no-catalog", is_flag=True, help="Leave the catalog alone."),
            click.option(
                "--remove-tarball",
                is_flag=True,
                help="Remove the tarball here once the deposit is complete and the store "
                "is known to have the same bytes.",
            ),
            click.option(
                "--remove-metadata",
                is_flag=True,
                help="Remove the two JSON files at the end.",
            ),
            click.option(
                "--priority",
                type=click.IntRange(0, 4),
                default=0,
                show_default=True,
                help="Visits of a higher number go first.",
            ),
            click.option(
                "--dry-run",
                is_flag=True,
                help="Say what would be done and why; do nothing.",
            ),
        ]
    ):
        function = option(function)
    return function


@dataclass
class Session:
    """Everything a command works with; made by :func:`session`."""

    settings: Settings
    store: Store
    broker: Broker
    ledger: Ledger
    embedded: EmbeddedServer | None
    left_out: list[str] = field(default_factory=list)
    """Tarballs that cannot become visits, by name; filled by :func:`chosen_visits`."""
    more_left_out: int = 0
    """How many more there are, which are not named."""

    def messages(self) -> Messages:
        """Return a sender; Celery is imported only for this."""
        from icfqueue.pipeline.messages import Messages, make_app

        return Messages(make_app(self.broker), self.ledger)


def load_settings(where: dict[str, Any]) -> Settings:
    """Return the settings, with the options of the command line first."""
    from icfqueue.core import settings

    given = {name: where.get(name) for name in ("store_dir", "store_url", "credential")}
    broker = where.get("broker")
    if broker and not os.environ.pop("ICFQUEUE_BROKER_FROM_ENVIRONMENT", None):
        given["broker_url"] = broker
    return settings.load(**given)


class NothingYet(UsageError):
    """A question about a store directory in which nothing was ever enqueued."""


@contextmanager
def session(where: dict[str, Any], *, asking: bool = False) -> Iterator[Session]:
    """Open store and broker for a command.

    Parameters
    ----------
    asking
        The command only asks: it must not make a broker's folder where there is none.

    Raises
    ------
    UsageError
        The store directory is not there.
    NothingYet
        There is no broker to ask.
    Unreachable
        The broker does not answer.
    """
    from icfqueue.broker.connection import configured
    from icfqueue.broker.embedded import EmbeddedServer
    from icfqueue.store.directory import Store

    chosen = load_settings(where)
    store = Store(chosen.store_dir)
    store.check_is_there()
    with ExitStack() as opened:
        address = configured(chosen)
        embedded = None
        if address is None:
            if asking and not EmbeddedServer(store.root).folder.exists():
                raise NothingYet(
                    f"nothing was ever enqueued in {store.root}",
                    hint="is --store-dir right? is a broker to be named with --broker?",
                )
            embedded = opened.enter_context(EmbeddedServer(store.root))
            address = embedded.broker
        client = address.check()
        opened.callback(client.close)
        # Not sooner: it imports redis, which is done while the embedded server starts.
        from icfqueue.ledger.ledger import Ledger

        ledger = Ledger(client, flush_after=chosen.catalog_gather)
        yield Session(chosen, store, address, ledger, embedded)


def options_of(chosen: Settings, wanted: dict[str, Any]) -> Options:
    """Return what the options of ``run`` and ``enqueue`` ask for."""
    from icfqueue.steps.job import Options

    return Options(
        store_url=chosen.store_url,
        credential=chosen.credential,
        force=wanted["force"],
        catalog=not wanted["no_catalog"],
        remove_tarball=wanted["remove_tarball"],
        remove_metadata=wanted["remove_metadata"],
    )


def chosen_visits(
    opened: Session, project: str, names: tuple[str, ...], wanted: dict[str, Any]
) -> list[Visit]:
    """Return the visits that a command is about.

    Raises
    ------
    UsageError
        There are none, with a guess at why.
    """
    from icfqueue.core.visit import Visit, check_id

    check_id(project, "project")
    found = {Visit(project, name) for name in names}
    _tell_not_here(opened, found)
    listed = wanted.get("visits_file")
    if listed:
        found |= {Visit(project, text) for text in _lines(listed)}
    if wanted.get("remote"):
        from icfqueue.remote.client import store_of

        chosen = opened.settings
        if sys.stderr.isatty():
            # It may take minutes, and nothing else is seen of it.
            click.echo(f"Listing {chosen.store_url}/{project}/ …", err=True)
        with store_of(chosen, chosen.store_url, chosen.credential) as remote:
            found |= set(remote.visits(project))
            opened.left_out += remote.left_out
            opened.more_left_out += remote.more_left_out
    if not names and not listed:
        found |= set(opened.store.visits(project))
        opened.left_out += opened.store.unusable(project)
    _tell_left_out(opened, project)
    if not found:
        raise UsageError(
            f"no visits of {project} in {opened.store.root / project}",
            hint="tarballs are called <visit>_dicom.tar; is --store-dir right? "
            "--remote takes the visits of the store URL" + _near(opened, project),
        )
    return sorted(found)


def _tell_not_here(opened: Session, named: set[Visit]) -> None:
    """Say which visits are called almost like one that is here: they are downloaded.

    Almost is what differs in case and leading zeros; visits are numbered, so that any
    other is like many.
    """
    away = [v for v in named if not opened.store.path(v, v.tarball).exists()]
    if not away:
        return
    here = {_plain(other.id): other.id for other in opened.store.visits(away[0].project)}
    for visit in sorted(away):
        if near := here.get(_plain(visit.id)):
            click.secho(
                f"{visit.id} has no tarball here and is looked for at the store URL; "
                f"did you mean {near}?",
                fg="yellow",
                err=True,
            )


def _plain(name: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", name).casefold()


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


def _tell_left_out(opened: Session, project: str) -> None:
    """Say which tarballs cannot become visits; the command is to end with 1."""
    from icfqueue.core.visit import Visit

    names = sorted(set(opened.left_out))
    more = opened.more_left_out + max(0, len(names) - _TOLD)
    for name in names[:_TOLD]:
        why = (
            "it is no file; a broken link?"
            if Visit.of_tarball(project, name)
            else "ids have letters, digits, '.', '_' and '-', and do not start with "
            "'.' or '-'"
        )
        # `repr` escapes what is not printable.
        click.secho(f"left out: {name[:_WIDTH]!r} ({why})", fg="yellow", err=True)
    if more:
        click.secho(f"left out: {more} more", fg="yellow", err=True)


_TOLD = 100
"""Tarballs without a visit that are named."""

_WIDTH = 255
"""Characters of a name that are shown; files have no longer ones."""


def _near(opened: Session, project: str) -> str:
    import difflib

    folders = [path.name for path in opened.store.root.iterdir() if path.is_dir()]
    near = difflib.get_close_matches(project, folders, 1)
    return f". Did you mean {near[0]}?" if near else ""
