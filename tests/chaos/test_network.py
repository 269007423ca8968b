"""Connections that are dead without a word, slow or lossy: workers go on, in seconds.

Broker and workers are on two hosts with a wire between them (:mod:`support.two_hosts`),
with TLS and a user of the broker who has no right too many.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.access import PASSWORD, acl_file
from support.chaos_project import LONG, PROJECT, snapshot
from support.faulty_store import FaultyStore
from support.killable_cluster import KillableCluster
from support.steadiness import Started, check_it_goes_on, processes
from support.two_hosts import BROKER, TwoHosts
from support.valkey import certificate

from icfqueue.core.visit import Visit

ALLOWED = 30.0
"""Seconds that workers may take to go on once the network is well again."""

BUSY = 60.0
"""Seconds more for the work itself, on a machine that does other things as well."""

CASES = {
    # A firewall forgot the connections; new ones are let through.
    "forgotten": ({"forget": True}, 1.0),
    "no way back": ({"drop": ["back"]}, 30.0 if LONG else 4.0),
}
if LONG:
    CASES |= {
        "cut": ({"drop": ["out", "back"]}, 40.0),
        "no way out": ({"drop": ["out"]}, 30.0),
        "short cut": ({"drop": ["out", "back"]}, 20.0),
        "cut and forgotten": ({"drop": ["out", "back"], "forget": True}, 25.0),
    }


@dataclass
class Lab:
    """A cluster whose workers are on another host than its broker."""

    cluster: KillableCluster
    hosts: TwoHosts
    env: dict[str, str]

    def start_workers(self, count: int) -> Started:
        self.cluster.prefix = self.hosts.for_workers
        workers = [self.cluster.start_worker(1, **self.env) for _ in range(count)]
        self.cluster.prefix = ()
        self.cluster.wait(
            lambda: len(self.cluster.ledger.workers()) == count, 60, "workers live"
        )
        self.cluster.wait(
            lambda: all(len(processes(one)) == 2 for one in workers), 60, "children"
        )
        return [(one, processes(one)) for one in workers]


@pytest.fixture
def lab(tmp_path: Path, web: FaultyStore) -> Iterator[Lab]:
    chain, key = certificate(tmp_path, BROKER)
    with TwoHosts() as hosts, KillableCluster(tmp_path, web.url) as cluster:
        for tarball in (web.root / PROJECT).iterdir():
            shutil.copy(tarball, cluster.root / PROJECT)
        cluster.server.kill()
        cluster.server.prefix = hosts.for_broker
        cluster.server.more = {"port": "6379", "include": str(acl_file(tmp_path))}
        cluster.server.start()
        front = Path(__file__).parents[1] / "support" / "tls_front.py"
        started = hosts.start(
            hosts.for_broker,
            [sys.executable, str(front), BROKER, "6380", str(chain), str(key), "6379"],
        )
        assert started.stdout
        assert started.stdout.readline() == "listening\n"
        url = f"rediss://icfqueue-worker:{PASSWORD}@{BROKER}:6380/0"
        env = {"ICFQUEUE_BROKER_URL": url, "ICFQUEUE_BROKER_CA_FILE": str(chain)}
        # As a site has it: no connection is dead for that long.
        env["ICFQUEUE_LEASE"] = "30"
        yield Lab(cluster, hosts, env)


def check_same_bytes(
    cluster: KillableCluster, expected: dict[str, str], beginning: str
) -> None:
    """Fail unless what begins so is as undisturbed; the store's own MD5s are here, too."""
    wanted = {path: md5 for path, md5 in expected.items() if path.startswith(beginning)}
    made = snapshot(cluster.root / PROJECT)
    assert wanted
    assert {path: made.get(path) for path in wanted} == wanted


@pytest.mark.parametrize("case", CASES)
def test_workers_go_on_soon_after_the_network_is_well_again(
    case: str, lab: Lab, visits: list[Visit], expected: dict[str, str]
) -> None:
    """No process ends, no visit is charged, nobody waits for the kernel's quarter hour.

    And what was made has the same bytes as undisturbed.
    """
    before = lab.start_workers(2)
    cluster = lab.cluster
    cluster.start_command("enqueue", PROJECT, *(visit.id for visit in visits))
    cluster.wait(lambda: cluster.begun() > 10, 60, "some steps")
    wanted, seconds = CASES[case]
    lab.hosts.wire(**wanted)
    time.sleep(seconds)
    begun = cluster.begun()
    assert begun < 6 * len(visits), "all was done before"
    lab.hosts.wire()
    well = time.monotonic()
    cluster.wait(lambda: cluster.begun() > begun, ALLOWED + BUSY, "they go on")
    took = time.monotonic() - well
    cluster.print_report(f"{case}: the next step was begun after {took:.1f} s")
    assert took < ALLOWED
    check_it_goes_on(cluster, before, len(visits), ALLOWED + BUSY)
    check_same_bytes(cluster, expected, "")


@pytest.mark.parametrize(("delay", "loss"), [(0.15, 0.0), (0.005, 0.05)])
def test_a_slow_and_a_lossy_network_only_take_longer(
    delay: float, loss: float, lab: Lab, few: list[str], expected_few: dict[str, str]
) -> None:
    """300 ms for a round trip; one packet of twenty lost in each direction."""
    before = lab.start_workers(2)
    lab.hosts.wire(delay=delay, loss=loss)
    count = 6 if LONG else 2
    lab.cluster.enqueue(*few[:count])
    check_it_goes_on(lab.cluster, before, count, 240)
    # Their own files, without those of the project: others have no part in that.
    for visit in few[:count]:
        check_same_bytes(lab.cluster, expected_few, f"{visit}_")


def test_idle_workers_whose_connections_were_forgotten_take_the_next_work(
    lab: Lab, few: list[str]
) -> None:
    """Nothing is under way that could tell that the connections are dead."""
    before = lab.start_workers(2)
    time.sleep(2.0)
    lab.hosts.wire(forget=True)
    lab.cluster.enqueue(*few[:2])
    check_it_goes_on(lab.cluster, before, 2, ALLOWED + BUSY)
