"""Everything a command works with: settings, store, broker, and what is made of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from icfqueue.cli.shell.again import STORE, whole
from icfqueue.cli.shell.folding import say
from icfqueue.cli.shell.loudness import verbose
from icfqueue.cli.shell.misplaced import check_project_meant
from icfqueue.core.errors import NothingYet
from icfqueue.core.processes.ending import signals_as_ctrl_c

if TYPE_CHECKING:
    import redis

    from icfqueue.broker.connection import Broker
    from icfqueue.broker.embedded import EmbeddedServer
    from icfqueue.broker.queues import Queues
    from icfqueue.core.settings import Settings
    from icfqueue.ledger.ledger import Ledger
    from icfqueue.operations.enqueue import Producer
    from icfqueue.remote.client import RemoteStore
    from icfqueue.store.directory import Store


LOOK_AGAIN = 1.0
"""Seconds between two looks at a broker that is waited for."""


@dataclass
class Session:
    """Everything a command works with; made by :func:`session`."""

    settings: Settings
    store: Store
    broker: Broker
    client: redis.Redis
    embedded: EmbeddedServer | None

    @cached_property
    def ledger(self) -> Ledger:
        """The visits' records."""
        from icfqueue.ledger.redis_ledger import RedisLedger

        return RedisLedger(self.client, flush_after=self.settings.catalog_gather)

    @cached_property
    def producer(self) -> Producer:
        """Hands visits over to the queue; Celery is imported only for this."""
        from icfqueue.broker.celery_app import make_app
        from icfqueue.operations.enqueue import Producer
        from icfqueue.pipeline.messages import Messages

        messages = Messages(make_app(self.broker), self.ledger)
        return Producer(self.settings, self.store, self.ledger, messages)

    def queues(self) -> Queues:
        """Return a look into the queues."""
        from icfqueue.broker.queues import Queues

        return Queues(self.client)

    def remote(self) -> RemoteStore:
        """Return the store on the web; a context manager."""
        from icfqueue.remote.client import RemoteStore

        return RemoteStore.of(self.settings)


def load_settings(where: dict[str, Any]) -> Settings:
    """Return the settings, with the options of the command line first.

    What was typed for the project is looked at, too: it may be the way to its folder.

    The broker's password is taken out of the environment: DataLad, which commands import
    later, starts ``git`` with all of that.
    """
    from icfqueue.core import settings
    from icfqueue.core.configured.sources import keep_secrets

    chosen = settings.load(**given_settings(where))
    keep_secrets()
    if verbose():
        where_is = f"store directory {chosen.store_dir}, store URL {chosen.store_url}"
        say(where_is, err=True)
    if ctx := click.get_current_context(silent=True):
        ctx.meta[STORE] = str(settings.whole_path(chosen.store_dir))
    check_project_meant(chosen)
    return chosen


def given_settings(where: dict[str, Any]) -> dict[str, Any]:
    """Return the settings among the options of the command line."""
    names = ("store_dir", "store_url", "credential", "log_format")
    given = {name: where.get(name) for name in names}
    broker = where.get("broker")
    if os.environ.pop("ICFQUEUE_BROKER_FROM_ENVIRONMENT", None):
        _without_password.add(broker)
    if broker and broker not in _without_password:
        given["broker_url"] = broker
    return given


_without_password: set[str | None] = set()
"""Brokers of the command line that the environment has whole; a command may ask twice."""


@contextmanager
def session(
    where: dict[str, Any],
    *,
    asking: bool = False,
    wait: Callable[[str], None] | None = None,
    folder_of: str | None = None,
) -> Iterator[Session]:
    """Open store and broker for a command.

    Parameters
    ----------
    asking
        The command only asks: it must not make a broker's folder where there is none.
    folder_of
        The project whose folder the command is about: in a store directory where nothing
        was ever done, and which has none, nothing is made.
    wait
        Wait for room on the disk of the embedded broker, and say so by this.

    Raises
    ------
    UsageError
        The store directory is not there, or not the one that the broker works for.
    NothingYet
        There is no broker to ask.
    Unreachable
        The broker does not answer, or a newer icfqueue works with it.
    """
    from icfqueue.broker.connection import configured
    from icfqueue.broker.embedded import EmbeddedServer
    from icfqueue.store.directory import Store

    chosen = load_settings(where)
    store = Store.of(chosen)
    store.check_is_there()
    if folder_of is not None and is_new(store):
        from icfqueue.store.near_misses import check_folder

        check_folder(store, folder_of)
    with ExitStack() as opened:
        # Before a broker is started, which would outlast the command.
        opened.enter_context(signals_as_ctrl_c())
        address = configured(chosen)
        embedded = None
        if address is None:
            if asking and not store.holds(EmbeddedServer(store.root).folder):
                raise NothingYet(
                    f"nothing was ever enqueued in {store.root}",
                    hint="is --store-dir right? is a broker to be named with --broker?",
                )
            embedded = EmbeddedServer(store.root)
            _enter(opened, embedded, wait)
            address = embedded.broker
        client = address.check()
        opened.callback(client.close)
        made = Session(chosen, store, address, client, embedded)
        if verbose():
            say(f"broker {address.shown}", err=True)
        made.ledger.check_layout()
        # Not sooner: it imports redis, which is done while the embedded server starts.
        from icfqueue.pipeline.health.store_watch import StoreWatch

        watch = StoreWatch(store, made.ledger)
        if asking:
            watch.check_asking()
        else:
            watch.check(make=True)
        yield made


def is_new(store: Store) -> bool:
    """Return whether no command that changes anything was ever given this directory."""
    from icfqueue.store.beneath.walk import HIDDEN

    return not store.holds(store.root / HIDDEN)


def _enter(
    opened: ExitStack, embedded: EmbeddedServer, wait: Callable[[str], None] | None
) -> None:
    """Start the embedded broker; wait for room on its disk if that is wished."""
    from icfqueue.core.errors import Unreachable

    said = False
    while True:
        try:
            opened.enter_context(embedded)
        except Unreachable as error:
            if wait is None or not embedded.lacks_room:
                raise
            if not said:
                wait(f"waiting: {error.message}. {whole(error.hint)}")
            said = True
            time.sleep(LOOK_AGAIN)
        else:
            return
