"""``icfqueue deploy``: printed, or written below a folder; nothing is sent."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from icfqueue.cli.group import cli
from icfqueue.core.errors import UsageError
from icfqueue.deploy.files import KINDS

WHERE = ("--store-dir", "/data/icf", "--broker", "redis://me:pw@b.example.org/0")


def deploy(*words: str) -> tuple[str, str]:
    done = CliRunner().invoke(
        cli, ["deploy", *words], standalone_mode=False, catch_exceptions=False
    )
    assert not done.return_value
    return done.stdout, done.stderr


def test_one_file_is_printed_as_it_is() -> None:
    out, err = deploy("slurm", "--workers", "3", "--walltime", "90m", *WHERE)
    assert out.startswith("#!/bin/bash\n")
    assert "--array=1-3\n" in out
    assert "--time=01:30:00\n" in out
    assert "pw" not in out
    assert err == ""


def test_a_walltime_in_which_nothing_could_be_handed_over_is_refused() -> None:
    for time in ("0", "30s"):
        with pytest.raises(UsageError, match="shorter than a worker takes"):
            deploy("slurm", "--walltime", time, *WHERE)


def test_several_files_are_printed_with_their_names() -> None:
    out, err = deploy("slurm", "--deadline", "8h", "--visits", "100", *WHERE)
    names = [line for line in out.splitlines() if line.startswith("# ==> ")]
    assert names[0] == "# ==> worker-fetch.slurm <=="
    assert len(names) == 4
    assert err.startswith("100 visits of 10 GB within 8 h")


def test_files_are_written_and_named_and_what_is_there_stays(tmp_path: Path) -> None:
    words = ("systemd", "-o", str(tmp_path), *WHERE)
    out, _ = deploy(*words)
    made = out.split()
    assert len(made) == 2
    assert all(Path(path).read_text() for path in made)
    # The same again changes nothing.
    assert deploy(*words)[0] == out
    Path(made[1]).write_text("mine")
    Path(made[0]).unlink()
    with pytest.raises(UsageError, match=r"service is there"):
        deploy(*words)
    assert Path(made[1]).read_text() == "mine"
    assert not Path(made[0]).exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        deploy("slurm", "-o", str(tmp_path / "file/below"), *WHERE)


def test_queues_are_chosen() -> None:
    out, _ = deploy("htcondor", "--queues", "fetch,index", *WHERE)
    assert "--queues fetch,index" in out
    with pytest.raises(UsageError, match="no queue nonsense"):
        deploy("htcondor", "--queues", "nonsense", *WHERE)


def test_a_queue_that_is_named_twice_is_served_once() -> None:
    out, _ = deploy("slurm", "--queues", "index,fetch,index", *WHERE)
    assert "--job-name=icfqueue-fetch-index\n" in out


@pytest.mark.parametrize("kind", ["systemd", "apptainer", "compose"])
def test_a_walltime_that_the_files_do_not_have_is_refused(kind: str) -> None:
    with pytest.raises(UsageError, match="--walltime"):
        deploy(kind, "--walltime", "4h", *WHERE)


@pytest.mark.parametrize("program", ["", "bin/icfqueue", "no-such-program"])
def test_a_program_that_others_would_not_find_is_refused(program: str) -> None:
    with pytest.raises(UsageError, match="--program"):
        deploy("slurm", "--program", program, *WHERE)


def test_a_program_is_named_from_the_top() -> None:
    assert (
        "exec /opt/x/icfqueue worker"
        in deploy("slurm", "--program", "/opt/x/icfqueue", *WHERE)[0]
    )
    assert (
        f"exec {shutil.which('env')} worker"
        in deploy("slurm", "--program", "env", *WHERE)[0]
    )


def test_a_size_without_its_unit_is_not_taken_for_bytes() -> None:
    with pytest.raises(UsageError, match="--visit-size 5 is 5 bytes"):
        deploy("slurm", "--deadline", "8h", "--visit-size", "5", *WHERE)


def test_a_deadline_that_is_no_time_is_named() -> None:
    with pytest.raises(UsageError, match="--deadline: 'soon'"):
        deploy("slurm", "--deadline", "soon", *WHERE)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_prints(kind: str) -> None:
    assert deploy(kind, *WHERE)[0]
