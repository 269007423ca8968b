"""What a shell is told when it completes a project, a visit or a cause.

A person waits for it at every press of a key: what the store directory has is known at
once, and the broker is asked for :data:`PATIENCE` at most (or for the seconds of the
variable ICFQUEUE_COMPLETION_PATIENCE). None is started for it, and no error is ever shown.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from icfqueue.core.settings import Settings
    from icfqueue.ledger.ledger import Ledger
    from icfqueue.store.directory import Store

PATIENCE = 0.1
"""Seconds, at most, for what is asked of the disk, and for what is asked of the broker;
what is imported for both takes as long once more."""


def complete_projects(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the projects that are recorded, and those with a folder in the store.

    A folder without any tarball or output is none.
    """
    del param

    def of_store(store: Store) -> Iterator[str]:
        from icfqueue.store.inventory import is_project

        names = [name for name in store.projects() if name.startswith(incomplete)]
        return (name for name in names if is_project(store, name))

    names = _asked(ctx, of_store, lambda ledger: ledger.projects())
    return _items(names, incomplete)


def complete_visits(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the visits of the project that are recorded or have a tarball here."""
    del param
    from icfqueue.core.visit import is_id, project_named

    project = project_named(ctx.params.get("project") or "")
    if not is_id(project):
        return []
    found = _asked(
        ctx,
        lambda store: [visit.id for visit in store.visits(project)],
        lambda ledger: [visit.id for visit in ledger.visits(project)],
    )
    given = ctx.params.get("visits") or ()
    return _items(set(found) - {*given}, incomplete)


def complete_clone(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return what may follow the project of ``clone``: a visit, or else a folder."""
    from click.shell_completion import CompletionItem

    given = ctx.params.get("rest") or ()
    found = [] if given else complete_visits(ctx, param, incomplete)
    return found or [CompletionItem(incomplete, type="dir")]


def complete_causes(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the codes of causes, with what they mean; those of the project come first."""
    del param
    from click.shell_completion import CompletionItem

    from icfqueue.core.causes import CAUSES
    from icfqueue.core.visit import is_id, project_named

    project = project_named(ctx.params.get("project") or "")
    met: set[str] = set()
    if is_id(project):
        met = _asked(ctx, lambda _: (), lambda ledger: _causes(ledger, project))
    return [
        CompletionItem(code, help=CAUSES[code].meaning)
        for code in sorted(CAUSES, key=lambda code: code not in met)
        if code.startswith(incomplete)
    ]


def _causes(ledger: Ledger, project: str) -> Iterator[str]:
    """Yield why visits of a project failed or wait, as they are read."""
    from icfqueue.ledger.ledger import Entry
    from icfqueue.ledger.record import State

    for entry in ledger.get_many(ledger.visits(project, (State.FAILED, State.WAITING))):
        if isinstance(entry, Entry) and entry.record.error:
            yield entry.record.error.get("cause", "")


def _items(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    # What the broker has comes from others, and the shell reads one item a line.
    from icfqueue.core.visit import is_id

    wanted = sorted(one for one in names if one.startswith(incomplete) and is_id(one))
    return [CompletionItem(name) for name in wanted]


def _asked(
    ctx: click.Context,
    of_store: Callable[[Store], Iterable[str]],
    of_ledger: Callable[[Ledger], Iterable[str]],
) -> set[str]:
    """Return what the store directory and the broker know, as far as they say in time."""
    found: set[str] = set()
    # Whatever is wrong, the next command says it; here nobody would see it.
    with suppress(Exception):
        from icfqueue.cli.session import load_settings
        from icfqueue.store.directory import Store

        chosen = load_settings(_where(ctx))
        store = Store.of(chosen)
        with suppress(_TooLateError), _in_time():
            _take(of_store(store), found)
        if (ledger := _ledger(chosen, store)) is not None:
            with _in_time():
                _take(of_ledger(ledger), found)
    return found


def _take(names: Iterable[str], found: set[str]) -> None:
    """Add names as they come: where the time is up, those are kept that came in it."""
    for name in names:
        found.add(name)


def _where(ctx: click.Context) -> dict[str, object]:
    """Return the options that say where store and broker are, as far as they are typed.

    click fills ``ctx.params`` only with those that stand before.
    """
    return {name: ctx.params.get(name) for name in ("store_dir", "store_url", "broker")}


def _ledger(chosen: Settings, store: Store) -> Ledger | None:
    """Return the records, None where no broker answers at once."""
    from icfqueue.broker.connection import configured
    from icfqueue.broker.embedded import EmbeddedServer

    broker = configured(chosen)
    if broker is None:
        embedded = EmbeddedServer(store.root)
        if not embedded.socket.exists():
            return None
        broker = embedded.broker
    from icfqueue.ledger.redis_ledger import RedisLedger

    return RedisLedger(broker.connect())


class _TooLateError(Exception):
    """The time is up."""


@contextmanager
def _in_time() -> Iterator[None]:
    """Have the block end in time, whatever it waits for."""

    def end(_: int, __: FrameType | None) -> None:
        raise _TooLateError

    before = signal.signal(signal.SIGALRM, end)
    seconds = float(os.environ.get("ICFQUEUE_COMPLETION_PATIENCE", PATIENCE))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
