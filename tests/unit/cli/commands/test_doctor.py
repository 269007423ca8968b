"""``icfqueue doctor``: a line for each finding, and the worst decides how it ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.command_line import Commands

from icfqueue.core.settings import Settings
from icfqueue.operations import doctor
from icfqueue.operations.doctor import Finding


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What is found; nothing is looked at."""
    found: list[Finding] = []

    def examine(settings: Settings, project: str | None) -> Iterator[Finding]:
        yield Finding("asked for", f"{settings.credential} {project}")
        yield from found

    monkeypatch.setattr(doctor, "examine", examine)
    return found


def test_each_finding_is_a_line_with_its_remedy_below(
    icfqueue: Commands, findings: list[Finding]
) -> None:
    findings += [
        Finding("credential", "none named", "name one", note=True),
        Finding("broker", "is away", "start it", bad=True),
    ]
    done = icfqueue("doctor", "--credential", "icf", "--project", "study_1")
    assert done.out.splitlines() == [
        "ok   asked for: icf study_1",
        "note credential: none named",
        "      name one",
        "BAD  broker: is away",
        "      start it",
    ]
    assert done.code == 1


@pytest.mark.parametrize(
    ("codes", "code"), [((), 0), ((1,), 1), ((3, 1), 3), ((1, 3, 2), 3)]
)
def test_the_worst_finding_decides_how_it_ends(
    icfqueue: Commands, findings: list[Finding], codes: tuple[int, ...], code: int
) -> None:
    findings += [Finding("x", "y", bad=True, exit_code=one) for one in codes]
    findings.append(Finding("x", "y", note=True, exit_code=7))
    assert icfqueue("doctor").code == code


def test_it_needs_no_broker_and_starts_none(
    icfqueue: Commands, findings: list[Finding]
) -> None:
    """A broker that is away is a finding, not the end."""
    done = icfqueue.plain(
        "doctor",
        "--broker",
        "redis://127.0.0.1:9/0",
        "--store-dir",
        str(icfqueue.store.root),
    )
    assert (done.code, findings) == (0, [])
    assert list(icfqueue.store.root.iterdir()) == []


def test_the_fleet_is_looked_at_instead(
    icfqueue: Commands, findings: list[Finding]
) -> None:
    findings.append(Finding("broker", "is away", bad=True))
    done = icfqueue("doctor", "--fleet")
    assert done.out.startswith("BAD  workers: none lives\n")
    assert done.code == 1
