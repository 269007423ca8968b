"""The command line as a new user meets it: help, typos, wrong places, a dead broker."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.commands import Icfqueue
from support.faulty_store import FaultyStore
from support.valkey import Valkey
from support.waiting import wait_until

from icfqueue.cli.group import COMMANDS
from icfqueue.demo.server import DemoStore
from icfqueue.demo.visits import build_project

pytestmark = pytest.mark.spread


@pytest.fixture
def icfqueue(tmp_path: Path) -> Icfqueue:
    store = tmp_path / "store"
    build_project(store, "study_1", 1)
    return Icfqueue(store)


def one_line_and_a_hint(done: subprocess.CompletedProcess[str]) -> None:
    assert "Traceback" not in done.stderr
    assert 1 <= len(done.stderr.strip().splitlines()) <= 4, done.stderr


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_every_command_has_help(icfqueue: Icfqueue, command: list[str]) -> None:
    told = icfqueue.good(*command, "--help")
    assert "Usage: icfqueue" in told


def test_a_typo_gets_a_suggestion(icfqueue: Icfqueue) -> None:
    done = icfqueue("statsu")
    assert done.returncode == 2
    assert "Did you mean 'status'?" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "../etc"], "project id '../etc' is not allowed"),
        (["run", "study_1", ".hidden"], "visit id '.hidden' is not allowed"),
        (["run", "study_1", "a/b"], "visit id 'a/b' is not allowed"),
        (["enqueue", "study_1", "--", "-rf"], "visit id '-rf' is not allowed"),
        (["run", "studi_1"], "Did you mean study_1?"),
        (["status", "study_1"], "nothing was ever enqueued in"),
        (["cancel", "study_1"], "nothing was ever enqueued in"),
        (["run", "study_1", "--priority", "9"], "9 is not in the range"),
        (["worker", "--queues", "fetch,indx"], "no queue indx"),
        (["worker", "--walltime", "soon"], "'soon' is no time"),
        (["worker", "--loglevel", "loud"], "'loud' is not one of"),
        (["status", "--watch", "--format", "csv"], "--watch shows a table"),
        (["status", "--watch", "--wait"], "leave one out"),
        (["run", "study_1", "--broker", "http://x"], "none of a Redis or Valkey server"),
        (["run", "study_1", "--store-url", "ftp://x"], "setting store_url"),
        (["run", "study_1", "--store-url", "https://x/a b"], "setting store_url"),
        (["run", "study_1", "--visits-file", "/no/such"], "/no/such cannot be read"),
        (["run", "study_1", "--store-dir", "/no/such/folder"], "is not there"),
        (["demo", "--folder", "/proc"], "was not made by the demonstration"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(
    icfqueue: Icfqueue, words: list[str], said: str
) -> None:
    done = icfqueue(*words)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def start_of(icfqueue: Icfqueue, command: str) -> float:
    """Return the seconds that Python takes to start here, busy as the machine may be."""
    began = time.monotonic()
    icfqueue.good(command, "--help")
    return time.monotonic() - began


@pytest.mark.parametrize(
    "words", [["status"], ["run", "study_1"], ["enqueue", "study_1"], ["cancel", "study_1"]]
)
def test_a_dead_broker_is_said_in_a_line_within_five_seconds_without_the_password(
    icfqueue: Icfqueue, words: list[str]
) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    start = start_of(icfqueue, words[0])
    began = time.monotonic()
    done = icfqueue(*words, ICFQUEUE_BROKER_URL=f"redis://:geheim@127.0.0.1:{port}/0")
    assert time.monotonic() - began < 5 + start
    assert done.returncode == 3
    assert f"the broker at redis://127.0.0.1:{port}/0 does not answer" in done.stderr
    assert "geheim" not in done.stdout + done.stderr
    one_line_and_a_hint(done)


def test_a_broker_that_never_answers_is_given_up_within_five_seconds(
    icfqueue: Icfqueue,
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        start = start_of(icfqueue, "status")
        began = time.monotonic()
        done = icfqueue("status", ICFQUEUE_BROKER_URL=f"redis://127.0.0.1:{port}/0")
        assert time.monotonic() - began < 5 + start
        assert done.returncode == 3
        one_line_and_a_hint(done)


def test_a_password_given_as_an_option_leaves_the_process_list(icfqueue: Icfqueue) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        url = f"redis://:ge%20heim@127.0.0.1:{port}/0"
        silent.settimeout(60)
        process = icfqueue.start("status", "--broker", url)
        try:
            # Connected, it waits two seconds for an answer.
            connection, _ = silent.accept()
            command = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            connection.close()
        finally:
            process.wait(timeout=30)
    assert b"--broker" in command
    assert b"heim" not in command


def test_a_store_that_does_not_answer_ends_with_3(icfqueue: Icfqueue) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    done = icfqueue(
        "enqueue", "study_1", "--remote", ICFQUEUE_STORE_URL=f"http://127.0.0.1:{port}"
    )
    assert done.returncode == 3
    one_line_and_a_hint(done)


def test_doctor_has_a_line_for_everything_and_a_remedy_for_what_is_wrong(
    icfqueue: Icfqueue,
) -> None:
    done = icfqueue("doctor", ICFQUEUE_STORE_URL="http://127.0.0.1:9")
    for what in ("git", "git-annex", "DataLad", "broker", "store directory", "store URL"):
        assert f" {what}: " in done.stdout
    assert done.returncode == 3
    assert "is the address right?" in done.stdout
    assert "BAD  store URL: " in done.stdout
    missing = icfqueue("doctor", "--credential", "nobody-has-this")
    assert "BAD  credential: " in missing.stdout
    assert "note credential: " in done.stdout
    assert "not known to DataLad" in missing.stdout
    assert "datalad credentials set" in missing.stdout


def test_settings_come_from_a_file_in_the_folder(
    icfqueue: Icfqueue, tmp_path: Path
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "icfqueue.toml").write_text(f'store_dir = "{icfqueue.store}"\n')
    environment = {
        name: value
        for name, value in icfqueue.environment.items()
        if not name.startswith("ICFQUEUE_")
    }
    done = subprocess.run(
        ["icfqueue", "enqueue", "study_1", "--dry-run"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "visit_01  process  new" in done.stdout
    (folder / "icfqueue.toml").write_text("stroe_dir = 'x'\n")
    done = subprocess.run(
        ["icfqueue", "status"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "stroe_dir" in done.stderr


def test_help_and_status_import_neither_datalad_nor_celery(icfqueue: Icfqueue) -> None:
    code = (
        "import sys\n"
        "sys.argv = ['icfqueue', *sys.argv[1:]]\n"
        "from icfqueue.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'datalad', 'datalad_next', 'celery', 'kombu', 'pydicom', 'requests'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    for words in (["--help"], ["status"], ["status", "--format", "json"]):
        subprocess.run(
            [sys.executable, "-c", code, *words],
            env=icfqueue.environment,
            check=True,
            capture_output=True,
        )


def test_a_question_leaves_no_trace_in_a_folder_that_is_no_store(tmp_path: Path) -> None:
    icfqueue = Icfqueue(tmp_path)
    assert "nothing was ever enqueued" in icfqueue.good("status")
    assert icfqueue.good("status", "--format", "json") == "[]\n"
    assert not list(tmp_path.iterdir())


def test_an_unknown_project_is_named_with_the_known_ones(icfqueue: Icfqueue) -> None:
    icfqueue.good("enqueue", "study_1")
    done = icfqueue("status", "studi_1")
    assert done.returncode == 2
    assert "did you mean study_1?" in done.stderr
    done = icfqueue("status", "study_1", "visit_99")
    assert done.returncode == 2
    assert "study_1/visit_99 was never enqueued" in done.stderr


def test_states_offered_by_the_command_line_are_those_of_the_records() -> None:
    from icfqueue.cli.commands.status import STATES
    from icfqueue.ledger.record import State

    assert list(STATES) == [state.value for state in State]


def test_a_visits_file_in_another_encoding_is_said_in_a_line(
    icfqueue: Icfqueue, tmp_path: Path
) -> None:
    listed = tmp_path / "visits.txt"
    listed.write_bytes("# für später\nvisit_01\n".encode("latin-1"))
    done = icfqueue("enqueue", "study_1", "--visits-file", str(listed))
    assert done.returncode == 2
    assert "is no text in UTF-8" in done.stderr
    one_line_and_a_hint(done)


def test_an_error_of_the_system_is_said_in_a_line(icfqueue: Icfqueue) -> None:
    # The broker's folder cannot be made: a file has its name.
    (icfqueue.store / ".icfqueue").write_text("")
    done = icfqueue("enqueue", "study_1")
    assert done.returncode in {1, 2, 3}
    one_line_and_a_hint(done)


def test_tarballs_that_cannot_become_visits_are_named_and_end_with_1(
    icfqueue: Icfqueue, tmp_path: Path
) -> None:
    folder = icfqueue.store / "study_1"
    (folder / "bad name_dicom.tar").write_bytes(b"")
    (folder / "gone_dicom.tar").symlink_to("nowhere")
    for words in (["enqueue", "study_1", "--dry-run"], ["enqueue", "study_1"]):
        done = icfqueue(*words)
        assert done.returncode == 1
        assert "left out: 'bad name_dicom.tar' (ids have letters" in done.stderr
        assert "left out: 'gone_dicom.tar' (it is no file" in done.stderr
    with DemoStore(icfqueue.store, auth=False) as web:
        other = Icfqueue(tmp_path, {"ICFQUEUE_STORE_URL": web.url})
        done = other("enqueue", "study_1", "--remote", "--dry-run")
        assert done.returncode == 1
        assert "left out: 'bad name_dicom.tar' (ids have letters" in done.stderr
        assert "visit_01  process" in done.stdout
    # Who names visits does not ask for the others.
    icfqueue.good("enqueue", "study_1", "visit_01", "--dry-run")


def test_a_worker_with_a_wrong_password_ends_with_3(icfqueue: Icfqueue) -> None:
    with Valkey(password="geheim", tcp=True) as broker:
        url = f"redis://:wrong@127.0.0.1:{broker.port}/0"
        done = icfqueue("worker", timeout=30, ICFQUEUE_BROKER_URL=url)
    assert done.returncode == 3
    assert "refuses the password" in done.stderr
    one_line_and_a_hint(done)


def test_an_unfinished_visit_is_not_as_it_should_be(icfqueue: Icfqueue) -> None:
    icfqueue.good("enqueue", "study_1")
    done = icfqueue("verify", "study_1")
    assert done.returncode == 1
    assert "not finished (queued at fetch)" in done.stdout
    assert "0 of 1 visits as they should be" in done.stdout


def test_only_failed_visits_that_are_shown_count_for_the_exit_code(
    icfqueue: Icfqueue,
) -> None:
    (icfqueue.store / "study_1" / "broken_dicom.tar").write_bytes(b"no tar" * 1000)
    done = icfqueue("run", "study_1", "--jobs", "1")
    assert done.returncode == 1
    # The fault is in the tarball: trying again cannot help.
    assert "icfqueue retry study_1 &&" not in done.stderr
    assert icfqueue("status", "study_1").returncode == 1
    assert icfqueue("status", "study_1", "--state", "failed").returncode == 1
    assert icfqueue("status", "study_1", "--state", "done").returncode == 0


def test_verify_goes_on_when_the_store_is_away_and_ends_with_3(icfqueue: Icfqueue) -> None:
    build_project(icfqueue.store, "study_1", 2)
    away = {"ICFQUEUE_STORE_URL": "http://127.0.0.1:9"}
    icfqueue.good("run", "study_1", "--jobs", "1", **away)
    done = icfqueue("verify", "study_1", **away)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    for visit in ("visit_01", "visit_02"):
        assert f"{visit}: not known" in done.stdout
    assert "0 of 2 visits as they should be" in done.stdout
    assert "2 visits: the store could not be asked" in done.stdout
    assert icfqueue("verify", "study_1", "--audit-only", **away).returncode == 0
    # Each question may take as long as a connection may.
    assert done.stdout.count("store: not asked again") == 1


def test_verify_gets_images_with_the_credential_that_is_named(
    icfqueue: Icfqueue, tmp_path: Path
) -> None:
    """DataLad would take the other one, which has the store's realm."""
    (tmp_path / "home").mkdir()
    with DemoStore(icfqueue.store) as web:
        icfqueue.environment |= {
            "HOME": str(tmp_path / "home"),
            "ICFQUEUE_STORE_URL": web.url,
            "DATALAD_CREDENTIAL_GOOD_TYPE": "user_password",
            "DATALAD_CREDENTIAL_GOOD_USER": web.user,
            "DATALAD_CREDENTIAL_GOOD_SECRET": web.password,
            "DATALAD_CREDENTIAL_OTHER_TYPE": "user_password",
            "DATALAD_CREDENTIAL_OTHER_USER": "nobody",
            "DATALAD_CREDENTIAL_OTHER_SECRET": "wrong",
            "DATALAD_CREDENTIAL_OTHER_REALM": f"{web.url}/{web.realm}",
        }
        icfqueue.good("run", "study_1", "--jobs", "1", "--credential", "good")
        told = icfqueue.good("verify", "study_1", "--credential", "good")
        assert "1 got back with the right MD5" in told
        refused = icfqueue("verify", "study_1", "--credential", "other")
    assert refused.returncode == 3
    assert "--force" not in refused.stdout
    assert "wrong" not in refused.stdout + refused.stderr


def test_run_says_once_why_visits_wait(tmp_path: Path) -> None:
    build_project(tmp_path / "web", "study_1", 2)
    (tmp_path / "store").mkdir()
    with FaultyStore(tmp_path / "web", auth=False) as web:
        web.fail("status", path="*_dicom.tar", method="GET", status=500, times=4)
        environment = {
            "ICFQUEUE_STORE_URL": web.url,
            "ICFQUEUE_RETRY_BASE": "2",
            "ICFQUEUE_STORE_FAULTS": "100",
        }
        icfqueue = Icfqueue(tmp_path / "store", environment)
        told = icfqueue.good("run", "study_1", "--remote", "--jobs", "1")
    assert told.count("waiting: ") == 1, told
    assert "500" in told


def test_waiting_without_a_worker_is_said_once(icfqueue: Icfqueue, tmp_path: Path) -> None:
    icfqueue.good("enqueue", "study_1")
    log = tmp_path / "log"
    process = icfqueue.start("status", "study_1", "--wait", log=log)
    wait_until(lambda: "No worker is running" in log.read_text(), 60, "it is said")
    # It looks again every second.
    time.sleep(2.5)
    icfqueue.good("cancel", "study_1")
    assert process.wait(timeout=60) in {0, 1}
    assert log.read_text().count("No worker is running") == 1


def test_a_visit_called_almost_like_one_that_is_here_gets_a_suggestion(
    icfqueue: Icfqueue,
) -> None:
    build_project(icfqueue.store, "study_1", 2)
    typo = icfqueue("enqueue", "study_1", "visit_1", "--dry-run")
    assert "did you mean visit_01?" in typo.stderr
    assert typo.returncode == 3, "the store cannot be asked for it"
