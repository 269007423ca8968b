"""From what a person names to visits: of the store, its directory, the ledger."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from icfqueue.core.errors import UsageError
from icfqueue.core.visit import Visit, check_id, expand
from icfqueue.ledger.ledger import Ledger
from icfqueue.ledger.record import State
from icfqueue.remote.client import RemoteStore
from icfqueue.store.directory import Store


@dataclass
class Selection:
    """The visits that a command is about, and what a person is to be told of them.

    Attributes
    ----------
    visits
        By id.
    left_out
        Tarballs that cannot become visits: name, and why.
    mistyped
        Visits that were named and have no tarball here, and one here that is called
        almost the same.
    unseen
        Other visits that were named and are neither here nor in the listing, with those
        here that are called much the same.
    more_left_out
        How many more than `left_out` there are, which are not named.
    """

    store: Store
    project: str
    visits: list[Visit] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    mistyped: list[tuple[Visit, str]] = field(default_factory=list)
    more_left_out: int = 0
    unseen: list[tuple[Visit, list[str]]] = field(default_factory=list)

    def check_found(self) -> None:
        """Raise if there is no visit.

        Raises
        ------
        UsageError
            With a guess at why.
        """
        if not self.visits:
            raise UsageError(
                f"no visits of {self.project} in {self.store.root / self.project}",
                hint="tarballs are called <visit>_dicom.tar; is --store-dir right? "
                "--remote takes the visits of the store URL" + self._near(),
            )

    def _near(self) -> str:
        others = [name for name in self.store.projects() if name != self.project]
        near = difflib.get_close_matches(self.project, others, 1)
        return f". Did you mean {near[0]}?" if near else ""


def select_visits(
    store: Store,
    project: str,
    named: Sequence[str],
    *,
    listed: Sequence[str] | None = None,
    remote: RemoteStore | None = None,
) -> Selection:
    """Return the visits that are to be worked on.

    Parameters
    ----------
    named
        Ids given one by one.
    listed
        Ids given by a file. Without either, all whose tarball is here are taken.
    remote
        The store whose listing is to be added.

    Raises
    ------
    BadId
        The project or a visit may not be called so.
    StepError, Unreachable
        The store's listing cannot be had.
    """
    check_id(project, "project")
    found = {Visit(project, name) for name in named}
    away = [v for v in sorted(found) if not store.holds(store.path(v, v.tarball))]
    found |= {Visit(project, name) for name in listed or ()}
    unusable: set[str] = set()
    more = 0
    if remote is not None:
        there = set(remote.visits(project))
        away = [visit for visit in away if visit not in there]
        found |= there
        unusable |= set(remote.left_out)
        more = remote.more_left_out
    if not named and listed is None:
        found |= set(store.visits(project))
        unusable |= set(store.unusable(project))
    left_out = [(name, _why_left_out(project, name)) for name in sorted(unusable)]
    made = Selection(store, project, sorted(found), left_out, more_left_out=more)
    if away:
        _compare(made, away, [other.id for other in store.visits(project)])
    return made


def _compare(made: Selection, away: Iterable[Visit], here: Sequence[str]) -> None:
    """Say of the visits `away` what is `here` that they are called like.

    Almost the same is what differs in case and leading zeros; visits are numbered, so
    that any other is like many.
    """
    plain = {_plain(name): name for name in here}
    for visit in away:
        if near := plain.get(_plain(visit.id)):
            made.mistyped.append((visit, near))
        else:
            made.unseen.append((visit, near_names(visit.id, here)))


def near_names(name: str, others: Iterable[str]) -> list[str]:
    """Return up to three of `others` that `name` may have been meant for."""
    known = list(others)
    same = [other for other in known if _plain(other) == _plain(name)]
    return same or difflib.get_close_matches(name, known, 3)


def _plain(name: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", name).casefold()


def _why_left_out(project: str, name: str) -> str:
    if Visit.of_tarball(project, name):
        return "it is no file; a link? (see the setting store_links)"
    return "ids have letters, digits, '.', '_' and '-', and do not start with '.' or '-'"


def select_recorded(
    ledger: Ledger, project: str, named: Sequence[str], states: Iterable[State]
) -> list[Visit]:
    """Return the visits named, which must have a record, or all in `states`.

    Parameters
    ----------
    named
        Ids, and globs for those that have a record.

    Raises
    ------
    UsageError
        One of them, or the project, was never enqueued.
    """
    check_recorded(ledger, project)
    if not named:
        return ledger.visits(project, states)
    visits = expand(project, named, lambda: ledger.visits(project))
    for visit, entry in zip(visits, ledger.get_many(visits), strict=True):
        if entry is None:
            near = near_names(visit.id, (v.id for v in ledger.visits(project)))
            guess = f"did you mean {' or '.join(near)}? " if near else ""
            raise UsageError(
                f"{visit} was never enqueued",
                hint=f"{guess}see 'icfqueue status {project}'",
            )
    return visits


def check_recorded(ledger: Ledger, project: str) -> None:
    """Raise unless `project` was ever enqueued.

    Raises
    ------
    UsageError
        It was not; names what may have been meant.
    """
    check_id(project, "project")
    known = ledger.projects()
    if project in known:
        return
    near = difflib.get_close_matches(project, known, 1)
    guess = f"did you mean {near[0]}?" if near else f"known: {', '.join(known) or 'none'}"
    raise UsageError(
        f"nothing of project {project} was ever enqueued in this store", hint=guess
    )
