"""The model of a site: from what was measured, what limits it and how many it needs."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from benchmarks import model as benchmark
from icfqueue.deploy import model
from icfqueue.deploy.model import MEASURED, Site


def test_the_figures_are_those_of_the_benchmark() -> None:
    """After ``make bench`` they are to be renewed here, to three digits."""
    measured = benchmark.measured(json.loads(benchmark.RESULTS.read_text()))
    assert dataclasses.asdict(MEASURED) == pytest.approx(
        dataclasses.asdict(measured), rel=1e-3
    )


def test_large_files_wait_for_the_line_and_small_ones_for_the_export() -> None:
    large = model.costs(Site())
    assert large.fetch == pytest.approx(10e9 / 110e6)
    small = model.costs(Site(dicom_bytes=21e3))
    assert small.export == pytest.approx(large.export * 212 / 21)
    assert small.cpu > large.cpu
    assert small.memory > large.memory


def test_what_lies_here_is_not_fetched() -> None:
    site = Site(local=True)
    cost = model.costs(site)
    assert cost.fetch == 0
    assert model.limits(site, cost, 1)["store"] == math.inf


def test_more_machines_move_only_their_own_limits() -> None:
    site = Site()
    cost = model.costs(site)
    one, ten = model.limits(site, cost, 1), model.limits(site, cost, 10)
    assert {name for name in one if ten[name] > one[name]} == {"network", "CPU"}
    assert ten["CPU"] == pytest.approx(10 * one["CPU"])


@pytest.mark.parametrize(("half", "local", "times"), [(0, 0, 2), (1, 0, 3), (0, 1, 1)])
def test_a_byte_passes_the_network(half: int, local: int, times: int) -> None:
    assert model.passes(Site(half_duplex=bool(half), local=bool(local))) == times


def test_workers_are_as_many_as_are_busy_and_a_quarter_more() -> None:
    cost = model.costs(Site())
    rate = 100 / cost.fetch
    assert model.workers(cost, rate)["fetch"] == 125
    assert set(model.workers(cost, 1e-9).values()) == {1}
