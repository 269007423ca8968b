"""``verify``: the audit of each visit and the proof of its deposit, one after another."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import click

from icfqueue.catalog import study
from icfqueue.cli.session import Session
from icfqueue.core.errors import StepError, UsageError
from icfqueue.core.plain_text import escaped
from icfqueue.core.visit import Visit, check_id
from icfqueue.ledger.record import ACTIVE, State
from icfqueue.operations import audit, clone_proof
from icfqueue.operations.reconcile import present
from icfqueue.remote.client import RemoteStore, store_of
from icfqueue.steps.job import Job, Options


def examine(
    opened: Session,
    project: str,
    names: tuple[str, ...],
    sample: int | None,
    *,
    quiet: bool,
) -> dict[str, Any]:
    """Audit and prove; return the report that ``--format json`` prints.

    Parameters
    ----------
    sample
        Images to get from each visit; None clones nothing.
    quiet
        Print nothing.
    """
    visits = _visits(opened, project, names)
    chosen = opened.settings
    listed = study.listed(opened.store, project, chosen.store_url)
    lines: list[dict[str, Any]] = []
    with store_of(chosen, chosen.store_url, chosen.credential) as remote:
        examiner = _Examiner(opened, listed, remote, sample)
        for visit in visits:
            line = examiner.line(visit)
            lines.append(line)
            if not quiet:
                _print(line)
    active = opened.ledger.visits(project, [*ACTIVE, State.FAILED])
    orphans = [] if names else audit.orphans(opened.store, project, listed, active)
    good = all(line["good"] for line in lines) and not orphans
    if not quiet:
        for found in orphans:
            _print_difference(found.where, found.what, found.hint)
        count = sum(line["good"] for line in lines)
        click.echo(f"{project}: {count} of {len(lines)} visits as they should be")
    return {
        "project": project,
        "good": good,
        "unreachable": any(line["unreachable"] for line in lines),
        "visits": lines,
        "orphans": [asdict(found) for found in orphans],
    }


def _visits(opened: Session, project: str, names: tuple[str, ...]) -> list[Visit]:
    check_id(project, "project")
    if names:
        return [Visit(project, name) for name in names]
    known = set(opened.ledger.visits(project))
    found = sorted(known | set(present(opened.store, project)))
    if not found:
        raise UsageError(
            f"nothing of {project} in {opened.store.root}",
            hint="is --store-dir right, and was anything done?",
        )
    return found


@dataclass
class _Examiner:
    """Looks at visit after visit of one project.

    Attributes
    ----------
    listed
        The visits on the study page.
    sample
        Images to get from each visit; None clones nothing.
    silent
        What was found when the store did not answer.
    """

    opened: Session
    listed: set[Visit]
    remote: RemoteStore
    sample: int | None
    silent: audit.Difference | None = None

    def line(self, visit: Visit) -> dict[str, Any]:
        """Return the line of the report about `visit`."""
        opened = self.opened
        entry = opened.ledger.get(visit)
        options = Options(store_url=opened.settings.store_url)
        job = Job(visit, options, opened.store, opened.settings)
        try:
            found = audit.differences(job, entry, self.listed, self.remote, self.silent)
        except StepError as error:
            found = [audit.Difference("visit", error.message, error.hint)]
        if self.silent is None and (first := [one for one in found if one.unreachable]):
            self.silent = replace(
                first[0], what="not asked again, for it did not answer", hint=""
            )
        proven = ""
        active = entry is not None and entry.record.active
        if self.sample is not None and not active and not _hopeless(found):
            login = clone_proof.login_of(opened.settings.credential, self.remote.realm)
            proof = clone_proof.verify(opened.store, visit, self.sample, login)
            proven = proof.words
            if not proof.good:
                found.append(audit.Difference("proof", proof.words, proof.hint))
        return {
            "visit": visit.id,
            "good": not found,
            "state": entry.record.state.value if entry else None,
            "unreachable": any(difference.unreachable for difference in found),
            "proof": proven,
            "differences": [asdict(difference) for difference in found],
        }


def _hopeless(found: list[audit.Difference]) -> bool:
    """Whether there is no deposit that could be cloned, or no store to get from."""
    return any(one.where == "dataset" or one.unreachable for one in found)


def _print(line: dict[str, Any]) -> None:
    words = line["proof"] or (line["state"] or "no record")
    colour = "green" if line["good"] else "red"
    words = escaped(words) if line["good"] else "not as it should be"
    click.secho(f"{line['visit']}: {words}", fg=colour)
    for found in line["differences"]:
        _print_difference(found["where"], found["what"], found["hint"])


def _print_difference(where: str, what: str, hint: str) -> None:
    # Names of files and members are among it.
    click.echo(escaped(f"  {where}: {what}" + (f"\n    {hint}" if hint else "")))
