"""The command line, called in the test's own process.

The installed command in a process of its own is :mod:`support.commands`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from click.testing import CliRunner

from icfqueue.cli.group import cli
from icfqueue.demo.visits import build_project
from icfqueue.ledger.record import Record
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.store.directory import Store


@dataclass(frozen=True)
class Called:
    """How a command ended: its exit code and what it printed."""

    code: int
    out: str
    err: str


@dataclass
class Commands:
    """``icfqueue`` on one store directory and one broker.

    Called with a command's words; errors that it raises pass, as to the entry point.
    """

    store: Store
    ledger: RedisLedger
    where: list[str] = field(default_factory=list)

    def __call__(self, *words: str, stdin: str = "") -> Called:
        return self.plain(*words, *self.where, stdin=stdin)

    def plain(self, *words: str, stdin: str = "") -> Called:
        """Call a command without saying where store and broker are."""
        done = CliRunner().invoke(
            cli, words, input=stdin, standalone_mode=False, catch_exceptions=False
        )
        return Called(done.return_value or 0, done.stdout, done.stderr)

    def build(self, visits: int = 1, project: str = "study_1") -> list[str]:
        """Make real tarballs in the store directory; return the visits' ids."""
        return [visit.id for visit in build_project(self.store.root, project, visits)]

    def records(self, project: str = "study_1") -> dict[str, Record]:
        return {found.visit.id: found for found in self.ledger.records(project)}
