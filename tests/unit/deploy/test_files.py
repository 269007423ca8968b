"""Files that start workers: quoted as their formats ask, without a password."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from support.places import ODD, ONE, PASSWORD, place

from icfqueue.core.errors import UsageError
from icfqueue.core.settings import Secret, Settings
from icfqueue.core.steps import QUEUES
from icfqueue.deploy import files, plan
from icfqueue.deploy.model import Site
from icfqueue.deploy.place import Place


@pytest.mark.parametrize("kind", files.KINDS)
def test_no_password_is_in_a_file_and_the_same_words_give_the_same_bytes(
    kind: str,
) -> None:
    where = place(broker_password=Secret("s3same0pen"))
    made = files.KINDS[kind](where, ONE)
    assert made == files.KINDS[kind](where, ONE)
    for file in made:
        assert PASSWORD not in file.text
        assert "s3same0pen" not in file.text
        # No mark of a template is left over, and no line of blanks.
        assert not re.search(r"@\w+@", file.text.replace("worker@broker", ""))
        assert file.text.endswith("\n")
        assert not re.search(r"[ \t]$", file.text, re.MULTILINE)


def test_htcondor_reads_no_name_of_its_own_out_of_a_path() -> None:
    (file,) = files.htcondor(replace(place("/d/$(HOME)"), program="/opt/$ENV(X)/i"), ONE)
    assert re.search(
        r"^executable += /opt/\$\(DOLLAR\)ENV\(X\)/i$", file.text, re.MULTILINE
    )
    assert "/d/$(DOLLAR)(HOME)" in file.text


def test_apptainers_image_is_run_once_for_each_group() -> None:
    made = plan.by_deadline(
        Site(visits=500), 8 * 3600.0, processes=4, queues=QUEUES, seconds=None
    )
    (file,) = files.apptainer(place(), made)
    for group in made.groups:
        assert f"--queues {','.join(group.queues)}\n" in file.text


def test_a_shell_reads_in_slurms_script_what_was_meant() -> None:
    (file,) = files.slurm(place(ODD), ONE)
    lines = [line for line in file.text.splitlines() if line.startswith("export ")]
    told = subprocess.run(
        ["bash", "-c", "\n".join([*lines, 'printf %s "$ICFQUEUE_STORE_DIR"'])],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == ODD
    assert shlex.split(file.text.splitlines()[-1])[1] == "/opt/my programs/icfqueue"


def test_slurms_signal_comes_before_the_worker_would_be_killed() -> None:
    (file,) = files.slurm(place(grace=300.0), ONE)
    found = re.search(r"--signal=B:TERM@(\d+)", file.text)
    assert found
    assert int(found[1]) > 300


def test_where_workers_are_followed_by_others_so_many_work_at_a_time() -> None:
    site = Site(visits=500)
    wanted = plan.by_deadline(
        site, 8 * 3600.0, processes=4, queues=("fetch",), seconds=3 * 3600.0
    )
    count = wanted.groups[0].workers
    (slurm,) = files.slurm(place(), wanted)
    assert slurm.path == "worker-fetch.slurm"
    assert f"--array=1-{3 * count}%{count}\n" in slurm.text
    assert "500 visits of 10 GB within 8 h" in slurm.text
    (condor,) = files.htcondor(place(), wanted)
    assert f"max_materialize = {count}\nqueue {3 * count}\n" in condor.text


@pytest.mark.parametrize(
    ("workers", "waves"), [(1, 1), (1000, 1), (1001, 1), (2500, 1), (701, 5), (3, 900)]
)
def test_slurms_arrays_have_as_many_elements_as_it_takes(
    workers: int, waves: int, tmp_path: Path
) -> None:
    """The commands in the head submit all of them, no array of more than a thousand."""
    wanted = replace(plan.plain(workers, 4, QUEUES, 600.0), waves=waves)
    (file,) = files.slurm(place(), wanted)
    (tmp_path / file.path).write_text(file.text)
    commands = [line[4:] for line in file.text.splitlines() if line.startswith("#   ")]
    # The option comes before what the script itself says (sbatch(1)).
    told = subprocess.run(
        [
            *("bash", "-ec"),
            'sbatch() { case "$1" in --array=*) echo "${1#--array=}";; '
            "*) sed -n 's/^#SBATCH --array=//p' \"$1\";; esac; }\n" + "\n".join(commands),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    arrays = [re.fullmatch(r"1-(\d+)(?:%(\d+))?", one) for one in told.stdout.split()]
    elements = [int(one[1]) for one in arrays if one]
    assert sum(elements) == workers * waves
    assert max(elements) <= 1000
    if waves > 1:
        assert sum(int(one[2]) for one in arrays if one) == workers
    assert ("MaxArraySize" in file.text) is (len(elements) > 1)


def test_workers_that_follow_one_another_without_end_are_refused() -> None:
    with pytest.raises(UsageError, match="1,001 workers would follow one another"):
        files.arrays(ONE.groups[0], 1001)


def test_htcondor_shows_others_no_password_and_starts_a_failed_worker_again() -> None:
    (file,) = files.htcondor(place(), ONE)
    handed_on = re.search(r"^getenv\s*=\s*(.*)$", file.text, re.MULTILINE)
    assert handed_on
    assert "PASSWORD" not in handed_on[1]
    assert re.search(r"^max_retries\s*=\s*5$", file.text, re.MULTILINE)


def test_apptainers_workers_see_the_certificate_too() -> None:
    (file,) = files.apptainer(place(broker_ca_file=Path("/etc/icf/ca.pem")), ONE)
    assert "--bind /data/icf --bind /etc/icf/ca.pem icfqueue.sif" in file.text
    with pytest.raises(UsageError, match="no ':'"):
        files.apptainer(place("/data/a:b"), ONE)


@pytest.mark.parametrize(
    ("path", "default"),
    [("/data/icf", "/data/icf"), ('/data/my "store": $x', '/data/my "store": $$x')],
)
def test_compose_takes_the_store_of_the_command_unless_told_otherwise(
    path: str, default: str
) -> None:
    (file,) = files.compose(place(path), ONE)
    (volume,) = yaml.safe_load(file.text)["x-service"]["volumes"]
    assert volume["source"] == f"${{ICFQUEUE_STORE:-{default}}}"
    with pytest.raises(UsageError, match="cannot name"):
        files.compose(place("/data/{a}"), ONE)


def test_the_environment_of_htcondor_is_quoted() -> None:
    (file,) = files.htcondor(place("""/data/it's "my" store"""), ONE)
    found = re.search(r'^environment\s*=\s*"(.*)"$', file.text, re.MULTILINE)
    assert found
    assert "'ICFQUEUE_STORE_DIR=/data/it''s \"\"my\"\" store'" in found[1]


def test_units_are_quoted_and_say_where_they_belong() -> None:
    made = {file.path: file.text for file in files.systemd(place(ODD), ONE)}
    assert set(made) == {
        "systemd/user/icfqueue-worker.service",
        "systemd/system/icfqueue-worker.service",
    }
    for text in made.values():
        # systemd.syntax(7): C escapes within quotes, '%%' for '%'.
        quoted = ODD.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
        assert f'Environment="ICFQUEUE_STORE_DIR={quoted}"' in text
        assert 'ExecStart="/opt/my programs/icfqueue" worker' in text
    assert "enable-linger" in made["systemd/user/icfqueue-worker.service"]


def test_each_queue_has_its_unit_and_its_service() -> None:
    wanted = plan.by_queue(2, files.COMPOSE_PROCESSES, QUEUES, 3600.0)
    assert len(files.systemd(place(), wanted)) == 2 * len(QUEUES)
    (file,) = files.compose(place(), wanted)
    services = yaml.safe_load(file.text)["services"]
    assert set(QUEUES) < set(services)
    assert services["fetch"]["scale"] == 2


def test_the_address_of_the_store_cannot_leave_its_place() -> None:
    (file,) = files.compose(place(store_url='https://x.org/}"$(id)'), ONE)
    environment = yaml.safe_load(file.text)["x-service"]["environment"]
    assert environment["ICFQUEUE_STORE_URL"] == (
        "${ICFQUEUE_STORE_URL:-https://x.org/%7D%22%24(id)}"
    )


def test_workers_on_other_machines_need_a_broker() -> None:
    alone = Place(Settings(store_dir=Path("/data/icf")), "icfqueue")
    for kind in ("slurm", "htcondor", "apptainer"):
        with pytest.raises(UsageError, match="need a broker") as found:
            files.KINDS[kind](alone, ONE)
        assert "--broker redis://" in found.value.hint
    with pytest.raises(UsageError, match="need a broker"):
        files.systemd(alone, plan.plain(2, 4, QUEUES, 600.0))
    assert files.systemd(alone, ONE)
    assert files.compose(alone, ONE)
