"""What is looked at before work begins: each finding, with the remedy."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from msgspec import structs
from support.faulty_store import FaultyStore
from support.records import a_record
from support.valkey import Valkey, free_port, out_of_memory

from icfqueue.broker.aside import Aside
from icfqueue.core.errors import PermanentError
from icfqueue.core.plain_text import size
from icfqueue.core.settings import Secret, Settings
from icfqueue.dataset import programs
from icfqueue.ledger.record import State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.ledger.roster import Sign
from icfqueue.operations import doctor
from icfqueue.operations.doctor import Finding, examine
from icfqueue.store.directory import Store


@pytest.fixture
def web(tmp_path: Path) -> Iterator[FaultyStore]:
    (tmp_path / "web" / "study_1").mkdir(parents=True)
    (tmp_path / "web" / "study_1" / "v_dicom.tar").touch()
    with FaultyStore(tmp_path / "web", auth=False) as made:
        yield made


@pytest.fixture
def chosen(settings: Settings, web: FaultyStore, valkey: Valkey) -> Settings:
    """Settings with which all is well."""
    return structs.replace(
        settings, store_url=web.url, broker_url=Secret(valkey.broker.url)
    )


def found(settings: Settings, project: str | None = None) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(settings, project)}


def test_where_all_is_well_nothing_is_bad(chosen: Settings) -> None:
    told = found(chosen)
    assert list(told) == [
        *("git", "git-annex", "DataLad", "broker", "records", "strange messages"),
        *("store directory", "shared by workers", "credential", "store URL"),
    ]
    assert not [finding for finding in told.values() if finding.bad]
    assert told["git"].found.startswith("git version 2.")
    assert "datalad-next" in told["DataLad"].found
    assert "answers, keeps its data" in told["broker"].found
    assert "can be written" in told["store directory"].found
    assert "answers (200)" in told["store URL"].found


def test_one_check_that_fails_does_not_keep_it_from_the_others(
    chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise PermanentError(f"{name} is not installed", hint="install it")

    monkeypatch.setattr(programs, "find_program", missing)
    told = found(chosen)
    assert len(told) == 10
    assert told["git"] == Finding("git", "git is not installed", "install it", bad=True)
    assert told["git-annex"].bad
    assert not told["broker"].bad


@pytest.mark.parametrize(
    ("words", "bad"),
    [
        ("git version 2.39.5", False),
        ("git version 2.28.0", False),
        ("git version 2.27.1", True),
        ("git version 1.9", True),
        ("git version 3.0.rc1.windows.1", False),
    ],
)
def test_git_must_be_new_enough(
    monkeypatch: pytest.MonkeyPatch, words: str, bad: bool
) -> None:
    monkeypatch.setattr(doctor, "_first_line", lambda _: words)
    told = doctor._git()
    assert (told.bad, told.found) == (bad, words)
    assert bool(told.remedy) is bad


def test_special_remotes_that_are_not_found_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(programs, "search_path", lambda: str(tmp_path))
    told = doctor._datalad()
    assert told.bad
    assert all(name in told.found for name in doctor.SPECIAL_REMOTES)


def test_a_broker_under_which_records_could_be_lost_is_bad(chosen: Settings) -> None:
    with Valkey(options={"appendonly": "no"}) as server:
        url = Secret(server.broker.url)
        told = found(structs.replace(chosen, broker_url=url))["broker"]
    assert told.bad
    assert "append-only file is off" in told.found
    assert "appendonly yes" in told.remedy


def test_a_broker_that_is_away_ends_with_3_and_shows_no_password(
    chosen: Settings,
) -> None:
    url = Secret(f"redis://:hunter2@127.0.0.1:{free_port()}/0")
    told = found(structs.replace(chosen, broker_url=url))["broker"]
    assert (told.bad, told.exit_code) == (True, 3)
    assert "hunter2" not in told.found + told.remedy


def test_a_broker_that_does_not_tell_of_itself_is_no_fault(
    chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its user may lack the right; then nobody knows."""

    def refuse(_: Any) -> None:
        raise redis.exceptions.NoPermissionError("no INFO")

    monkeypatch.setattr(doctor.connection, "faults", refuse)
    told = found(chosen)["broker"]
    assert (told.bad, told.note) == (False, True)
    assert "INFO" in told.remedy


def test_strange_messages_are_shown_with_when_where_why_and_how_they_began(
    chosen: Settings, valkey: Valkey
) -> None:
    with valkey.client() as client:
        for _ in range(12):
            Aside().put(client, "fetch", b"\x1b[2Jhello", "it is no JSON")
    told = found(chosen)["strange messages"]
    assert told.note
    assert not told.bad
    assert told.found.startswith("12 put aside")
    assert told.found.count("UTC, fetch, 9 bytes, it is no JSON: \\x1b[2Jhello") == 10
    assert "\x1b" not in told.found


def test_a_broker_that_refuses_is_bad_and_told_why(
    chosen: Settings, valkey: Valkey
) -> None:
    with valkey.client() as client, out_of_memory(client):
        told = found(chosen)["broker"]
    assert (told.bad, told.exit_code) == (True, 3)
    assert told.found.endswith("it has no memory left")
    assert "maxmemory" in told.remedy


def test_the_embedded_broker_is_started_for_the_look(chosen: Settings) -> None:
    alone = structs.replace(chosen, broker_url=None)
    told = found(alone)
    assert "embedded, Valkey" in told["broker"].found
    assert told["shared by workers"].note
    assert "--broker" in told["shared by workers"].remedy


def test_a_store_directory_that_is_missing_or_read_only_is_bad(
    chosen: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = structs.replace(chosen, store_dir=tmp_path / "gone")
    told = found(gone)["store directory"]
    assert (told.bad, told.exit_code) == (True, 2)

    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    told = found(chosen)["store directory"]
    assert told.bad
    assert "Read-only" in told.found


@pytest.mark.parametrize(
    ("kind", "note"), [("nfs4", False), ("lustre", False), ("ext4", True), ("tmpfs", True)]
)
def test_a_folder_that_other_machines_may_not_see_is_noted(
    chosen: Settings, monkeypatch: pytest.MonkeyPatch, kind: str, note: bool
) -> None:
    monkeypatch.setattr(doctor, "_file_system", lambda _: kind)
    told = found(chosen)["shared by workers"]
    assert (told.note, told.bad) == (note, False)
    assert kind in told.found


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/data /data nfs4 rw 0 0
tmpfs /data/scratch tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me", "ext4"),
        ("/data", "nfs4"),
        ("/data/icf/study_1", "nfs4"),
        ("/database", "ext4"),
        ("/data/scratch/x", "tmpfs"),
    ],
)
def test_a_file_system_is_that_of_the_nearest_mount(
    monkeypatch: pytest.MonkeyPatch, path: str, kind: str
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda _: MOUNTS)
    assert doctor._file_system(Path(path)) == kind


def test_where_mounts_cannot_be_read_the_type_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: Path) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert doctor._file_system(Path("/data")) == "unknown"


def test_a_umask_that_works_against_the_stores_group_is_told_of(
    chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icfqueue.store.beneath.sharing.UMASK", 0o022)
    chosen.store_dir.chmod(0o755)
    assert "umask" not in found(chosen)
    chosen.store_dir.chmod(0o2775)
    told = found(chosen)["umask"]
    assert told.note
    assert not told.bad
    assert told.found.endswith(
        f"takes rights from the group that may write in {chosen.store_dir}: write"
    )
    assert told.remedy.startswith("umask 002")


def test_a_credential_is_known_to_datalad_or_bad(
    chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(chosen)["credential"].note
    named = structs.replace(chosen, credential="icf")
    told = found(named)["credential"]
    assert told.bad
    assert told.remedy.startswith("datalad credentials set icf")
    monkeypatch.setenv("DATALAD_CREDENTIAL_ICF_SECRET", "hunter2")
    monkeypatch.setenv("DATALAD_CREDENTIAL_ICF_USER", "me")
    told = found(named)["credential"]
    assert not told.bad
    assert "hunter2" not in told.found + told.remedy


def test_a_project_is_listed_with_the_credential_or_the_reason_is_told(
    chosen: Settings, web: FaultyStore
) -> None:
    assert found(chosen, "study_1")["store URL"].found.endswith("lists 1 visit")
    told = found(chosen, "study_2")["store URL"]
    assert told.bad
    assert "the store has no project study_2" in told.found
    assert "404" in told.found
    # Not to look by the command that looks, nor to forget what was never enqueued.
    assert "icfqueue" not in told.remedy
    web.fail("status", status=503, times=None)
    assert found(chosen, "study_1")["store URL"].exit_code == 3


def test_a_store_that_does_not_answer_ends_with_3(chosen: Settings) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    told = found(structs.replace(chosen, store_url=url))["store URL"]
    assert (told.bad, told.exit_code) == (True, 3)
    assert "Connection refused" in told.found


def test_records_that_cannot_be_read_are_counted_with_what_mends_them(
    chosen: Settings, ledger: RedisLedger
) -> None:
    ledger.put_many([(None, a_record(state)) for state in State])
    assert found(chosen)["records"].found == "all can be read"
    for name in ("done", "failed"):
        ledger.client.hset(f"icfqueue:visit:study_1/{name}", "r", "no JSON")
    told = found(chosen)["records"]
    assert told.bad
    assert told.found == "2 cannot be read; study_1/done: its record is no JSON"
    assert "icfqueue reconcile study_1" in told.remedy
    assert "icfqueue forget study_1 done" in told.remedy


def test_a_broker_of_a_newer_release_is_bad(chosen: Settings, ledger: RedisLedger) -> None:
    ledger.client.set("icfqueue:layout", 99)
    told = found(chosen)["records"]
    assert (told.bad, told.exit_code) == (True, 3)
    assert "update icfqueue" in told.remedy


@pytest.mark.parametrize(
    ("keep", "room", "bad"), [(0, 0, True), (5, 4, True), (5, 5, False)]
)
def test_a_store_directory_without_room_is_bad(
    chosen: Settings,
    monkeypatch: pytest.MonkeyPatch,
    *,
    keep: int,
    room: int,
    bad: bool,
) -> None:
    monkeypatch.setattr(Store, "room", lambda _: room * 10**9)
    told = found(structs.replace(chosen, keep_free=keep * 10**9))["store directory"]
    assert told.bad is bad
    assert f"can be written, {size(room * 10**9)} free" in told.found
    assert bool(told.remedy) is bad


def test_the_fleet_is_compared_by_its_signs_of_life(
    chosen: Settings, valkey: Valkey
) -> None:
    """What two workers say, and an error where one may write other bytes."""
    with valkey.client() as client:
        roster = RedisLedger(client).roster
        for number, git in (1, "2.39.5"), (2, "2.47.0"):
            versions = {"git": git, "git-annex": "10", "icfqueue": "1", "python": "3"}
            sign = Sign(name=f"n{number}:1", host=f"n{number}", pid=1, since=0.0)
            roster.say(structs.replace(sign, queues=("export",), versions=versions))
    told = {finding.what: finding for finding in doctor.examine_fleet(chosen)}
    assert told["workers"].found == "2 on 2 machines"
    assert told["git"].bad
    assert "2.47.0 on n2:1" in told["git"].found
    assert not told["git-annex"].bad
