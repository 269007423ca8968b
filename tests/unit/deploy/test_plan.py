"""How many workers, of what size, for how long."""

from __future__ import annotations

import re

import pytest

from icfqueue.core.errors import UsageError
from icfqueue.core.steps import QUEUES
from icfqueue.deploy import model, plan
from icfqueue.deploy.model import Site

HOUR = 3600.0


def reckoned(site: Site, hours: float, walltime: float | None = None) -> plan.Plan:
    return plan.by_deadline(
        site, hours * HOUR, processes=4, queues=QUEUES, seconds=walltime
    )


def test_a_plain_plan_is_one_group_that_serves_all() -> None:
    found = plan.plain(8, 4, QUEUES, HOUR)
    (group,) = found.groups
    assert (group.name, group.workers, group.processes) == ("", 8, 4)
    assert found.waves == 1


def test_by_queue_each_has_workers_of_its_own() -> None:
    found = plan.by_queue(1, {"fetch": 2, "index": 4}, ("fetch", "index"), HOUR)
    assert [(one.name, one.processes) for one in found.groups] == [
        ("fetch", 2),
        ("index", 4),
    ]


@pytest.mark.parametrize("hours", [24.0, 48.0, 100.0])
def test_the_workers_that_are_reckoned_keep_the_deadline(hours: float) -> None:
    """Their processes do the work of each queue in that time, by what it costs."""
    site = Site()
    cost = model.costs(site)
    seconds = {"fetch": cost.fetch, "index": cost.index, "export": cost.export}
    for group in reckoned(site, hours).groups:
        busy = site.visits * seconds.get(group.name, 0.0)
        assert group.workers * group.processes * hours * HOUR >= busy
        assert group.processes <= 4


def test_less_time_takes_more_workers() -> None:
    site = Site(visits=500)
    less, more = reckoned(site, 2), reckoned(site, 20)
    assert less.groups[0].workers > more.groups[0].workers


def test_workers_with_less_time_than_the_deadline_are_followed_by_others() -> None:
    found = reckoned(Site(visits=500), 8, walltime=3 * HOUR)
    assert (found.seconds, found.waves) == (3 * HOUR, 3)
    assert reckoned(Site(visits=500), 8, walltime=30 * HOUR).waves == 1


def test_what_no_worker_can_help_is_refused_with_what_it_takes() -> None:
    with pytest.raises(
        UsageError,
        match=r"10,000 visits of 10\.0 GB take 22\.2 h at least: the store on the web",
    ) as found:
        reckoned(Site(), 8)
    assert "--visits and --visit-size say what there is" in found.value.hint
    assert "else a later --deadline, or a higher --store-rate" in found.value.hint
    with pytest.raises(UsageError, match="the disk of the store directory"):
        reckoned(Site(disk=1e9), 24)


def test_machines_without_number_are_refused() -> None:
    with pytest.raises(UsageError, match="machines"):
        reckoned(Site(network=1e5, local=True), 8)


def test_the_words_tell_the_machines_that_are_needed() -> None:
    words = " ".join(reckoned(Site(), 24).words)
    assert "10,000 visits of 10 GB within 24 h" in words
    assert "on 2 machines of 16 cores" in words


def test_one_core_is_one_and_its_worker_has_one_process() -> None:
    found = reckoned(Site(visits=500, cores=1), 24)
    assert re.search(r"machines? of 1 core or more", " ".join(found.words))
    assert {group.processes for group in found.groups} == {1}


def test_every_limit_that_machines_do_not_move_has_its_words() -> None:
    site = Site()
    limits = model.limits(site, model.costs(site), 1)
    assert set(limits) == {*plan.OF_MACHINES, *plan.SLOW}


def test_an_export_of_many_files_is_given_memory() -> None:
    groups = {one.name: one for one in reckoned(Site(visits=9, dicom_bytes=1e4), 9).groups}
    assert groups["export"].memory > 2 * groups["index"].memory


@pytest.mark.parametrize(
    ("seconds", "told"), [(59, "1 min"), (5400, "1.5 h"), (3 * 86400, "3 days")]
)
def test_times_for_people(seconds: float, told: str) -> None:
    assert plan.shown(seconds) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(14400, "04:00:00"), (90.5, "00:01:31"), (100_000, "1-03:46:40")],
)
def test_times_for_slurm(seconds: float, told: str) -> None:
    assert plan.clock(seconds) == told


@pytest.mark.parametrize(
    ("text", "size"), [("10GB", 1e10), ("212kB", 212e3), ("1.5 TB", 1.5e12), ("3", 3)]
)
def test_sizes(text: str, size: float) -> None:
    assert plan.parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "0", "10 eggs", "-1GB", "GB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="is no size"):
        plan.parse_bytes(text)
