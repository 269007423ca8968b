"""``icfqueue range``: a clone is switched, and it is said how many."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from support.datasets import git

from icfqueue.cli.group import cli
from icfqueue.cli.main import main
from icfqueue.client.clones import ENABLED, SETTING


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    git(tmp_path, "init", "-q")
    git(tmp_path, "config", ENABLED, "an-id")
    (tmp_path / ".datalad").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_this_folder_is_meant_unless_another_is_named(clone: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["range", "on"], standalone_mode=False)
    assert done.output == "range access is on in 1 dataset\n"
    assert git(clone, "config", SETTING) == b"icfrange\n"
    done = CliRunner().invoke(cli, ["range", "off", str(tmp_path)], standalone_mode=False)
    assert done.output == "range access is off in 1 dataset\n"
    assert git(clone, "config", SETTING) == b"archivist\n"


def test_a_folder_that_is_no_dataset_is_wrong_usage(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["icfqueue", "range", "on", str(clone / ".git")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "no DataLad dataset" in capsys.readouterr().err
