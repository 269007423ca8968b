"""Whole projects, through the installed command, real brokers and real processes."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.commands import BIN, Icfqueue, command_lines, outputs
from support.faulty_store import FaultyStore
from support.valkey import Valkey

from icfqueue.core.visit import Visit
from icfqueue.demo.visits import build_project

pytestmark = pytest.mark.spread


@pytest.fixture
def project(tmp_path: Path) -> Path:
    store = tmp_path / "store"
    build_project(store, "study_1", 4)
    return store


@pytest.fixture
def icfqueue(project: Path) -> Icfqueue:
    return Icfqueue(project)


def expected_files(visit: str) -> set[str]:
    names = ("metadata_tarball.json", "metadata_dicoms.json", "XDLRA--refs")
    return {f"{visit}_{name}" for name in (*names, "XDLRA--repo-export")}


def test_run_does_a_project_by_the_embedded_server_and_leaves_nothing_else(
    icfqueue: Icfqueue,
) -> None:
    told = icfqueue.good("run", "study_1", "--jobs", "2")
    assert "4 enqueued" in told
    assert "4 done" in told
    found = icfqueue.status()
    assert found["counts"]["done"] == 4
    for visit in found["visits"]:
        assert [step["state"] for step in visit["steps"]] == ["done"] * 6
        assert visit["dicoms"] > 0
        assert set(visit["refs"]) == {"refs/heads/master", "refs/heads/git-annex"}
        assert visit["error"] is None
    assert len({s["worker"] for v in found["visits"] for s in v["steps"]}) == 2
    top = {name for name in outputs(icfqueue.store) if "/" not in name}
    of_all = {"XDLRA--refs", "XDLRA--repo-export", "series.parquet"}
    assert top == of_all.union(*(expected_files(v["visit"]) for v in found["visits"]))
    assert not (icfqueue.store / "study_1" / ".icfqueue").exists()
    left = [line for line in command_lines() if str(icfqueue.store) in line]
    assert not left, "a process of the embedded server stayed"


def test_run_again_finds_everything_up_to_date_and_changes_no_byte(
    icfqueue: Icfqueue,
) -> None:
    icfqueue.good("run", "study_1", "--jobs", "2")
    before = outputs(icfqueue.store)
    told = icfqueue.good("run", "study_1")
    assert "0 enqueued, 4 up to date" in told
    told = icfqueue.good("run", "study_1", "--force", "--jobs", "2")
    assert "4 enqueued" in told
    assert outputs(icfqueue.store) == before


def test_enqueue_and_celery_itself_on_a_server_of_their_own(
    icfqueue: Icfqueue, valkey: Valkey, tmp_path: Path
) -> None:
    icfqueue.environment["ICFQUEUE_BROKER_URL"] = valkey.url
    assert "No worker is running" in icfqueue.good("enqueue", "study_1")
    command = [str(BIN / "celery"), "-A", "workers", "worker", "--concurrency", "2"]
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(
            command, env=icfqueue.environment, cwd=tmp_path, stdout=log, stderr=log
        )
    try:
        icfqueue.good("status", "study_1", "--wait")
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=30) == 0
    assert icfqueue.status()["counts"]["done"] == 4
    assert "4 up to date" in icfqueue.good("enqueue", "study_1")


def test_a_transient_fault_is_retried_and_a_failure_goes_on_where_it_failed(
    tmp_path: Path,
) -> None:
    build_project(tmp_path / "web", "study_1", 2)
    store = tmp_path / "store"
    store.mkdir()
    with FaultyStore(tmp_path / "web", auth=False) as web:
        icfqueue = Icfqueue(store, {"ICFQUEUE_STORE_URL": web.url})
        icfqueue.environment["ICFQUEUE_MAX_ATTEMPTS"] = "2"
        icfqueue.environment["ICFQUEUE_STORE_FAULTS"] = "100"
        web.fail("status", path="*visit_01_dicom.tar", method="GET", status=500, times=1)
        web.fail("status", path="*visit_02_dicom.tar", method="GET", status=500, times=2)
        done = icfqueue("run", "study_1", "--remote", "--jobs", "2")
        assert done.returncode == 1
        assert "icfqueue retry study_1" in done.stderr
        first, second = icfqueue.status()["visits"]
        assert (first["state"], first["attempts"]) == ("done", 2)
        assert (second["state"], second["step"]) == ("failed", "fetch")
        assert second["error"]["kind"] == "transient"
        assert "500" in second["error"]["message"]
        assert "1 visit goes on" in icfqueue.good("retry", "study_1")
        assert icfqueue.visit("visit_02")["state"] == "queued"
        icfqueue.good("run", "study_1", "visit_02", "--jobs", "1")
        second = icfqueue.visit("visit_02")
        assert second["state"] == "done"
        assert second["steps"][0]["attempts"] == 3


def test_bad_tarballs_fail_with_a_remedy_and_the_others_go_on(
    icfqueue: Icfqueue, project: Path
) -> None:
    from icfqueue.demo.visits import shipped, write_tar

    dicom = shipped("dicomdirtests/98892003/MR1")[0].read_bytes()
    folder = project / "study_1"
    (folder / "empty_dicom.tar").touch()
    whole = (folder / "visit_02_dicom.tar").read_bytes()
    (folder / "cut_dicom.tar").write_bytes(whole[: len(whole) // 2])
    write_tar(folder / "outside_dicom.tar", [("../../../evil.dcm", dicom)])
    write_tar(folder / "amper_dicom.tar", [("a&b/1.dcm", dicom)])
    write_tar(folder / "text_dicom.tar", [("a/readme.txt", b"hello")])
    done = icfqueue("run", "study_1", "--jobs", "2")
    assert done.returncode == 1
    found = {visit["visit"]: visit for visit in icfqueue.status()["visits"]}
    for name in ("empty", "cut", "outside", "amper", "text"):
        error = found[name]["error"]
        assert (found[name]["state"], error["kind"]) == ("failed", "permanent"), name
        assert error["hint"], name
        assert not [f for f in outputs(project) if f.startswith(f"{name}_")]
    assert "evil.dcm" in found["outside"]["error"]["message"]
    assert "a&b/1.dcm" in found["amper"]["error"]["message"]
    assert not list(project.parent.rglob("evil.dcm"))
    assert [found[f"visit_0{n}"]["state"] for n in range(1, 5)] == ["done"] * 4
    told = icfqueue("status", "study_1", "amper")
    assert told.returncode == 1
    assert "permanent BadTarball in index_tar" in told.stdout
    listed = icfqueue("status", "study_1", "--state", "failed", "--format", "csv").stdout
    assert len(listed.splitlines()) == 6


def test_a_changed_tarball_is_a_clear_failure_unless_forced(
    icfqueue: Icfqueue, project: Path
) -> None:
    icfqueue.good("run", "study_1", "visit_01", "--jobs", "1")
    before = icfqueue.visit("visit_01")["refs"]
    folder = project / "study_1"
    (folder / "visit_01_dicom.tar").write_bytes(
        (folder / "visit_02_dicom.tar").read_bytes()
    )
    told = icfqueue.good("run", "study_1", "visit_01", "--dry-run")
    assert "the tarball has changed" in told
    done = icfqueue("run", "study_1", "visit_01", "--jobs", "1")
    assert done.returncode == 1
    assert icfqueue.visit("visit_01")["error"]["type"] == "TarballChanged"
    assert "--force" in icfqueue.visit("visit_01")["error"]["hint"]
    icfqueue.good("run", "study_1", "visit_01", "--force", "--jobs", "1")
    after = icfqueue.visit("visit_01")
    assert after["state"] == "done"
    assert after["refs"] != before


def test_dry_run_says_what_and_why_and_does_nothing(icfqueue: Icfqueue) -> None:
    told = icfqueue.good("enqueue", "study_1", "--dry-run")
    assert told.splitlines()[1] == "visit_01  process  new"
    assert "4 to be processed; nothing was changed" in told
    assert icfqueue("status", "study_1").returncode == 2


def test_visits_come_from_arguments_a_file_or_standard_input(
    icfqueue: Icfqueue, tmp_path: Path
) -> None:
    listed = tmp_path / "visits"
    listed.write_text("# chosen\nvisit_02\n\nvisit_03\n")
    told = icfqueue.good("enqueue", "study_1", "--visits-file", str(listed), "--dry-run")
    assert [line.split()[0] for line in told.splitlines()[1:-1]] == [
        "visit_02",
        "visit_03",
    ]
    done = icfqueue(
        "enqueue",
        "study_1",
        "visit_01",
        "--visits-file",
        "-",
        "--dry-run",
        stdin="visit_04\n",
    )
    assert [line.split()[0] for line in done.stdout.splitlines()[1:-1]] == [
        "visit_01",
        "visit_04",
    ]


def test_a_visit_is_not_queued_twice_and_cancel_works_without_a_worker(
    icfqueue: Icfqueue,
) -> None:
    assert "4 enqueued" in icfqueue.good("enqueue", "study_1")
    assert "0 enqueued, 4 under way" in icfqueue.good("enqueue", "study_1")
    assert "1 visit cancelled" in icfqueue.good("cancel", "study_1", "visit_02")
    assert icfqueue.status()["counts"]["cancelled"] == 1
    icfqueue.good("run", "study_1", "visit_01", "--jobs", "2")
    counts = icfqueue.status()["counts"]
    # It ends with the visit that is named, wherever the others are.
    assert 1 <= counts["done"] <= 3
    assert counts["cancelled"] == 1
    assert not (icfqueue.store / "study_1" / "visit_02_XDLRA--refs").exists()


def test_tarballs_and_metadata_are_removed_only_on_request_and_stay_up_to_date(
    tmp_path: Path,
) -> None:
    build_project(tmp_path / "web", "study_1", 2)
    store = tmp_path / "store"
    store.mkdir()
    with FaultyStore(tmp_path / "web", auth=False) as web:
        icfqueue = Icfqueue(store, {"ICFQUEUE_STORE_URL": web.url})
        options = ["--remote", "--remove-tarball", "--remove-metadata", "--jobs", "2"]
        icfqueue.good("run", "study_1", *options)
        left = {path.name for path in (store / "study_1").iterdir()}
        assert left == {
            "catalog",
            "XDLRA--refs",
            "XDLRA--repo-export",
            "series.parquet",
            *(
                f"visit_0{n}_XDLRA--{part}"
                for n in (1, 2)
                for part in ("refs", "repo-export")
            ),
        }
        assert "2 up to date" in icfqueue.good("run", "study_1", *options)
        assert (
            sum(web.count("GET", f"/study_1/{v}_dicom.tar", 200) for v in ("visit_01",))
            == 1
        )


def test_a_store_that_refuses_stops_the_project_with_one_message(tmp_path: Path) -> None:
    build_project(tmp_path / "web", "study_1", 20)
    store = tmp_path / "store"
    store.mkdir()
    with FaultyStore(tmp_path / "web", auth=False) as web:
        icfqueue = Icfqueue(store, {"ICFQUEUE_STORE_URL": web.url})
        icfqueue.good("enqueue", "study_1", "visit_*", "--remote")
        # The password is changed after that.
        web.fail("status", status=401, times=None)
        web.seen.clear()
        done = icfqueue("run", "study_1", "--jobs", "2")
        assert done.returncode == 1
        found = icfqueue.status()
        assert found["counts"]["failed"] == 20
        assert {visit["error"]["type"] for visit in found["visits"]} == {"AccessDenied"}
        assert len(web.seen) <= 8
        # As a word: a port may have these figures, too.
        assert len(re.findall(r"\b401\b", done.stderr)) <= 2


def test_verify_proves_deposits_and_names_what_differs(tmp_path: Path) -> None:
    build_project(tmp_path / "store", "study_1", 2)
    store = tmp_path / "store"
    with FaultyStore(store, auth=False) as web:
        icfqueue = Icfqueue(store, {"ICFQUEUE_STORE_URL": web.url})
        icfqueue.good("run", "study_1", "--jobs", "2")
        told = icfqueue.good("verify", "study_1", "visit_01", "--sample", "2")
        assert "2 got back with the right MD5" in told
        (store / "study_1" / "visit_02_metadata_dicoms.json").write_text("[]")
        done = icfqueue("verify", "study_1", "--audit-only")
        assert done.returncode == 1
        assert "visit_02: not as it should be" in done.stdout


def test_reconcile_makes_records_anew_after_the_broker_lost_its_data(
    icfqueue: Icfqueue, project: Path
) -> None:
    icfqueue.good("run", "study_1", "--jobs", "2")
    refs = {visit["visit"]: visit["refs"] for visit in icfqueue.status()["visits"]}
    for path in (project / ".icfqueue/broker/appendonlydir").iterdir():
        path.unlink()
    (project / "study_1" / "visit_04_XDLRA--refs").unlink()
    assert icfqueue("status", "study_1").returncode == 2
    assert "3 records made anew" in icfqueue.good("reconcile", "study_1")
    found = icfqueue.status()
    assert found["counts"]["done"] == 3
    assert all(refs[visit["visit"]] == visit["refs"] for visit in found["visits"])
    # Nothing vouches for their tarballs any more: each is read once, and known again.
    assert "4 enqueued" in icfqueue.good("run", "study_1", "--jobs", "2")
    found = icfqueue.status()
    assert found["counts"]["done"] == 4
    assert all(refs[visit["visit"]] == visit["refs"] for visit in found["visits"])
    assert "4 up to date" in icfqueue.good("run", "study_1", "--jobs", "2")


def test_ctrl_c_in_run_says_how_to_go_on_and_run_goes_on(tmp_path: Path) -> None:
    build_project(tmp_path / "web", "study_1", 6)
    store = tmp_path / "store"
    store.mkdir()
    with FaultyStore(tmp_path / "web", auth=False) as web:
        slow = web.fail("slow", path="*.tar", method="GET", times=None, rate=2_000)
        assert slow
        icfqueue = Icfqueue(store, {"ICFQUEUE_STORE_URL": web.url, "ICFQUEUE_GRACE": "1"})
        log = tmp_path / "log"
        run = icfqueue.start("run", "study_1", "--remote", "--jobs", "2", log=log)
        icfqueue.wait_for(lambda s: s["counts"]["running"])
        time.sleep(0.5)
        run.send_signal(signal.SIGINT)
        assert run.wait(timeout=60) == 130
        assert "To go on: icfqueue run study_1" in log.read_text()
        counts = icfqueue.status()["counts"]
        assert counts["running"] == counts["failed"] == 0
        web.clear()
        icfqueue.good("run", "study_1", "--remote", "--jobs", "2")
        assert icfqueue.status()["counts"]["done"] == 6
        assert {v["attempts"] for v in icfqueue.status()["visits"]} == {1}


def test_visits_of_another_project_with_the_same_ids_do_not_mix(
    icfqueue: Icfqueue, project: Path
) -> None:
    build_project(project, "study_2", 2)
    icfqueue.good("enqueue", "study_1")
    icfqueue.good("run", "study_2", "--jobs", "2")
    assert icfqueue.status("study_2")["counts"]["done"] == 2
    one = outputs(project, "study_2")["visit_01_XDLRA--refs"]
    icfqueue.good("run", "study_1", "--jobs", "2")
    assert outputs(project)["visit_01_XDLRA--refs"] != one
    assert Visit("study_1", "visit_01") != Visit("study_2", "visit_01")
