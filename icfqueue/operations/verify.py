"""``verify``: the audit of each visit and the proof of its deposit, one after another."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from icfqueue.catalog import study
from icfqueue.core.errors import StepError, UsageError
from icfqueue.core.options import Options
from icfqueue.core.plain_text import for_store, for_visit
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit, check_id, expand
from icfqueue.dataset import clone
from icfqueue.dataset.superdataset import renewal
from icfqueue.ledger.ledger import Ledger
from icfqueue.ledger.record import ACTIVE, State
from icfqueue.operations import audit, clone_proof
from icfqueue.remote.client import RemoteStore
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store
from icfqueue.store.inventory import present
from icfqueue.store.near_misses import like_project, near_names


@dataclass
class Verification:
    """Looks at visit after visit of one project; nothing is changed.

    Attributes
    ----------
    sample
        Images to get from each visit; None clones nothing and asks no store.
    lines
        What was found for each visit so far, as ``--format json`` prints it.
    """

    settings: Settings
    store: Store
    ledger: Ledger
    project: str
    sample: int | None
    lines: list[dict[str, Any]] = field(default_factory=list)
    orphans: list[audit.Difference] = field(default_factory=list)
    _silent: audit.Difference | None = None
    """What was found when the store did not answer."""
    _superdataset: renewal.Found | None = None
    _expected: bool = False
    """Whether a visit is to be in the superdataset."""

    def examine(self, named: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
        """Audit and prove visits; yield a line for each, and note it.

        Parameters
        ----------
        named
            Ids or globs; without any, all of which the store directory or the ledger has
            anything, and then also what belongs to no visit.

        Raises
        ------
        UsageError
            There is nothing of the project.
        """
        visits = self._visits(named)
        listed = study.listed(self.store, self.project, self.settings.store_url)
        self._superdataset = self._find_superdataset()
        with RemoteStore.of(self.settings) as remote:
            for visit in visits:
                line = self._line(visit, listed, remote)
                self.lines.append(line)
                yield line
        if not named:
            active = self.ledger.visits(self.project, [*ACTIVE, State.FAILED])
            self.orphans = audit.orphans(self.store, self.project, listed, active)
            self.orphans += audit.of_superdataset(
                self.store, self.project, self._superdataset, wanted=self._expected
            )

    def _find_superdataset(self) -> renewal.Found | None:
        with (
            tempfile.TemporaryDirectory(prefix="icfqueue-verify-") as scratch,
            # A link in its place, say: it is told as damaged.
            suppress(StepError),
        ):
            return renewal.find(self.store, self.project, Path(scratch))
        return None

    @property
    def report(self) -> dict[str, Any]:
        """What ``--format json`` prints."""
        return {
            "project": self.project,
            "good": all(line["good"] for line in self.lines) and not self.orphans,
            "unreachable": any(line["unreachable"] for line in self.lines),
            "visits": self.lines,
            "orphans": [asdict(found) for found in self.orphans],
        }

    def _visits(self, named: Sequence[str]) -> list[Visit]:
        check_id(self.project, "project")
        if named:
            wanted = expand(self.project, named, self._known)
            self._check_known(wanted)
            return wanted
        found = self._known()
        if not found:
            raise UsageError(
                f"nothing of {self.project} in {self.store.root}",
                hint=like_project(
                    self.store, self.project, "is --store-dir right, and was anything done?"
                ),
            )
        return found

    def _check_known(self, wanted: Sequence[Visit]) -> None:
        """Raise unless of each visit there is anything: a record, or a file."""
        known = self._known()
        nowhere = [visit for visit in wanted if visit not in known]
        if not nowhere:
            return
        first = nowhere[0]
        near = near_names(first.id, [visit.id for visit in known])
        if near:
            hint = f"did you mean {' or '.join(near)}?"
        elif known:
            hint = f"see 'icfqueue status {self.project}'"
        else:
            hint = like_project(self.store, self.project, "is --store-dir right?")
        raise UsageError(
            f"nothing of {first} in {self.store.root}, and it has no record", hint=hint
        )

    def _known(self) -> list[Visit]:
        """Return the visits that are recorded, or of which anything is here."""
        known = set(self.ledger.visits(self.project))
        return sorted(known | set(present(self.store, self.project)))

    def _line(
        self, visit: Visit, listed: set[Visit], remote: RemoteStore
    ) -> dict[str, Any]:
        """Return the line of the report about `visit`."""
        entry = self.ledger.get(visit)
        options = Options(store_url=self.settings.store_url)
        job = Job(visit, options, self.store, self.settings)
        self._expected |= audit.expects_superdataset(entry.record if entry else None)
        asked = None if self.sample is None else remote
        commits = self._superdataset.commits if self._superdataset else None
        try:
            found = audit.differences(
                job, entry, listed, asked, self._silent, commits=commits
            )
        except StepError as error:
            found = [audit.Difference("visit", error.message, error.hint)]
        if self._silent is None and (first := [one for one in found if one.unreachable]):
            self._silent = replace(
                first[0], what="not asked again, for it did not answer", hint=""
            )
        proven = ""
        active = entry is not None and entry.record.active
        if self.sample is not None and not active and not _hopeless(found):
            login = clone.login_of(self.settings.credential, remote.realm)
            proof = clone_proof.prove(self.store, visit, self.sample, login)
            proven = proof.words
            if not proof.good:
                found.append(audit.Difference("proof", proof.words, proof.hint))
        if entry is not None and audit.own_remedy(entry.record):
            # What is missing comes from the error; done again it would fail again.
            found = [replace(d, hint="") if d.where in _MADE else d for d in found]
        return {
            "visit": visit.id,
            "good": not found,
            "state": entry.record.state.value if entry else None,
            "unreachable": any(difference.unreachable for difference in found),
            "proof": proven,
            "differences": [self._filled(difference, visit) for difference in found],
        }

    def _filled(self, found: audit.Difference, visit: Visit) -> dict[str, Any]:
        hint = for_visit(found.hint, visit.project, visit.id)
        return {**asdict(found), "hint": for_store(hint, self.store.root)}


_MADE = frozenset({"dataset", "metadata", "tarball", "proof"})
"""Where is looked at what a run makes, or makes it from."""


def _hopeless(found: list[audit.Difference]) -> bool:
    """Return whether there is no deposit to clone, or no store to get from."""
    return any(one.where == "dataset" or one.unreachable for one in found)
