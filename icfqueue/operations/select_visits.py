"""From what a person names to visits: of the store, its directory, the ledger."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from icfqueue.core.causes import UNKNOWN
from icfqueue.core.errors import (
    AccessDenied,
    NotInStore,
    PermanentError,
    TransientError,
    Unreachable,
    UsageError,
)
from icfqueue.core.visit import Visit, check_id, expand, is_glob
from icfqueue.ledger.ledger import Entry, Ledger
from icfqueue.ledger.record import State
from icfqueue.remote.client import RemoteStore
from icfqueue.store.directory import Store
from icfqueue.store.inventory import present
from icfqueue.store.near_misses import (
    NearMiss,
    near_misses,
    near_names,
    near_project,
)

FEW = 10
"""Visits about each of which the store is asked; about more it is asked at once."""

_NAMED = 3
"""Visits that an error names."""


@dataclass
class Selection:
    """The visits that a command is about, and what a person is to be told of them.

    Attributes
    ----------
    visits
        By id.
    left_out
        Tarballs that cannot become visits: name, and why.
    more_left_out
        How many more than `left_out` there are, which are not named.
    near_misses
        Files that are no tarballs of visits, and nearly are.
    sizes
        Bytes of tarballs, as far as the store's listing tells them; many servers round.
    """

    store: Store
    project: str
    visits: list[Visit] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    more_left_out: int = 0
    near_misses: list[NearMiss] = field(default_factory=list)
    sizes: dict[Visit, int] = field(default_factory=dict)

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
        near = near_project(self.store, self.project)
        return f". Did you mean {near}?" if near else ""


@dataclass
class Sources:
    """Where visits are looked for.

    Attributes
    ----------
    store
        What is here.
    ledger
        What is recorded; None where nothing ever was.
    remote
        Returns the store on the web, which is asked only where that is needed.
    """

    store: Store
    ledger: Ledger | None
    remote: Callable[[], AbstractContextManager[RemoteStore]]

    def recorded(self, project: str) -> list[Visit]:
        """Return the visits of `project` that have a record."""
        return self.ledger.visits(project) if self.ledger else []

    def unrecorded(self, visits: list[Visit]) -> list[Visit]:
        """Return those of `visits` that have none."""
        if self.ledger is None:
            return visits
        entries = self.ledger.get_many(visits)
        return [one for one, entry in zip(visits, entries, strict=True) if entry is None]


def select_visits(
    sources: Sources,
    project: str,
    named: Sequence[str],
    *,
    listed: Sequence[str] | None = None,
    remote: bool = False,
) -> Selection:
    """Return the visits that are to be worked on.

    Parameters
    ----------
    named
        Ids and globs given one by one.
    listed
        Ids and globs given by a file. Without either, all whose tarball is here or that
        are recorded are taken.
    remote
        Add all that the store lists; with globs, they look there, too, and nothing else
        of it is added.

    Raises
    ------
    BadId
        The project or a visit may not be called so.
    UsageError
        A visit that is named is nowhere, or a glob is that of none.
    StepError, Unreachable
        The store cannot be asked.
    """
    check_id(project, "project")
    store = sources.store
    words = [*named, *(listed or ())]
    there: set[Visit] = set()
    left_out: set[str] = set()
    sizes: dict[Visit, int] = {}
    more = 0
    if remote:
        with sources.remote() as asked:
            there = set(_listed(sources, asked, project))
            left_out, more = set(asked.left_out), asked.more_left_out
            sizes = {Visit(project, name): size for name, size in asked.sizes.items()}

    def known() -> set[Visit]:
        return {*store.visits(project), *sources.recorded(project), *there}

    chosen = expand(project, words, known)
    if remote and not any(is_glob(word) for word in words):
        chosen += there
    made = Selection(store, project, more_left_out=more, sizes=sizes)
    if not named and listed is None:
        chosen += [*store.visits(project), *sources.recorded(project)]
        left_out |= set(store.unusable(project))
        made.near_misses = near_misses(store, project)
    made.visits = sorted(set(chosen))
    made.left_out = list(_why_left_out(store, project, left_out).items())
    if words:
        _check_somewhere(sources, [v for v in made.visits if v not in there])
    return made


def _check_somewhere(sources: Sources, visits: Sequence[Visit]) -> None:
    """Raise unless each visit is here, recorded, or in the store."""
    if not visits:
        return
    project = visits[0].project
    here = set(present(sources.store, project))
    away = sources.unrecorded([visit for visit in visits if visit not in here])
    if not away:
        return
    with sources.remote() as remote:
        try:
            lost = _not_in_store(sources, remote, away)
        except (Unreachable, TransientError) as error:
            # Nothing was enqueued that could be tried again.
            hint = error.hint.partition(", then 'icfqueue r")[0]
            hint = "; ".join(filter(None, (hint, _guess(sources, away[0]))))
            said = f"{_some(away)}: not here, and {error.message}"
            raise Unreachable(said, hint=hint) from None
    if lost:
        where = f"{remote.url}/{project}/"
        verb = "is" if len(lost) == 1 else "are"
        raise UsageError(
            f"{_some(lost)} {verb} neither in {sources.store.project_dir(project)} "
            f"nor at {where}",
            hint=_guess(sources, lost[0]),
        )


def _listed(sources: Sources, remote: RemoteStore, project: str) -> list[Visit]:
    """Return the visits that the store lists; its lack of the project is told as such."""
    try:
        return remote.visits(project)
    except NotInStore as error:
        recorded = sources.ledger.projects() if sources.ledger else []
        others = {*sources.store.projects(), *recorded} - {project}
        near = near_names(project, sorted(others))
        guess = f"did you mean {' or '.join(near)}? " if near else ""
        raise NotInStore(
            f"the store has no project {project}: {error.message}",
            hint=f"{guess}check the project's name, and --store-url",
        ) from None


def _not_in_store(
    sources: Sources, remote: RemoteStore, away: Sequence[Visit]
) -> list[Visit]:
    """Return those of `away` that the store does not have, as far as it can tell."""
    if len(away) > FEW:
        try:
            there = set(_listed(sources, remote, away[0].project))
        except NotInStore:
            raise
        except PermanentError:
            # It refuses, or lists nothing; the steps will see.
            return []
        return [visit for visit in away if visit not in there]
    lost = []
    for visit in away:
        try:
            remote.head(visit.storepath)
        except NotInStore:
            lost.append(visit)
        except AccessDenied as error:
            # It may be there, and the workers be let in.
            if not error.forbidden:
                break
        except PermanentError:
            # It does not tell sizes, say.
            continue
    return lost


def _some(visits: Sequence[Visit]) -> str:
    names = ", ".join(visit.id for visit in visits[:_NAMED])
    more = f" and {len(visits) - _NAMED} more" if visits[_NAMED:] else ""
    return f"{names}{more}"


def _guess(sources: Sources, visit: Visit) -> str:
    """Return what may have been meant by a visit that is nowhere."""
    store, project = sources.store, visit.project
    for miss in near_misses(store, project):
        if visit.id in {miss.visit, miss.name}:
            return f"there is {miss.name}, not taken for {miss.why}: {miss.remedy}"
    known = {*store.visits(project), *sources.recorded(project)}
    if near := near_names(visit.id, sorted(one.id for one in known)):
        return f"did you mean {' or '.join(near)}?"
    if known:
        return f"see 'icfqueue status {project}'; globs, as 'sub-01*', name many"
    return "check project and visit; is --store-dir right, and --store-url?"


def _why_left_out(store: Store, project: str, names: Collection[str]) -> dict[str, str]:
    """Return why each of `names` gives no visit, by name."""
    listed = store.listing(store.project_dir(project)) if names else []
    folders = {entry.name for entry in listed if entry.kind == "folder"}
    told = {}
    for name in sorted(names):
        if not Visit.of_tarball(project, name):
            why = (
                "ids have letters, digits, '.', '_' and '-', "
                "and do not start with '.' or '-'"
            )
        elif name in folders:
            why = "it is a folder"
        else:
            why = "it is no file; if it is a link, see the setting store_links"
        told[name] = why
    return told


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


def of_causes(
    ledger: Ledger, visits: Sequence[Visit], causes: Collection[str]
) -> list[Visit]:
    """Return those of `visits` whose latest error has one of these causes."""
    return [
        entry.record.visit
        for entry in ledger.get_many(visits)
        if isinstance(entry, Entry)
        and (error := entry.record.error)
        and error.get("cause", UNKNOWN) in causes
    ]


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
