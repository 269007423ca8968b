"""What programs are told that DataLad starts, and what DataLad itself is."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from icfqueue.remote import quiet_datalad
from icfqueue.remote.quiet_datalad import with_login, without_login

LOGIN = {
    "DATALAD_CREDENTIAL_ICF_USER": "me",
    "DATALAD_CREDENTIAL_ICF_SECRET": "hunter2",
    "DATALAD_CONFIG_OVERRIDES_JSON": '{"datalad.credential.icf.secret": "hunter2"}',
    "DATALAD_HUB_OAUTHTOKEN": "hunter2",
}
BROKER = {
    "ICFQUEUE_BROKER_URL": "redis://:hunter2@host",
    "ICFQUEUE_BROKER_PASSWORD": "hunter2",
    "REDISCLI_AUTH": "hunter2",
}
OTHER = {"GITHUB_TOKEN": "hunter2", "https_proxy": "http://me:hunter2@proxy:3128"}
HARMLESS = {"DATALAD_LOG_LEVEL": "debug", "HOME": "/home/me", "PATH": "/bin"}
ALL = LOGIN | BROKER | OTHER | HARMLESS


def test_a_datalad_without_a_login_keeps_its_settings_alone() -> None:
    assert without_login(ALL) == HARMLESS


def test_a_datalad_that_downloads_has_what_it_needs_and_nothing_of_the_broker() -> None:
    assert with_login(ALL) == LOGIN | OTHER | HARMLESS


CODE = """
import json, os
from icfqueue.remote import quiet_datalad

before = dict(os.environ)
quiet_datalad.prepare()
quiet_datalad.prepare()
from datalad.runner.gitrunner import GitRunnerBase
from datalad_next.config import ConfigManager
import datalad

told = GitRunnerBase.get_git_environ_adjusted()
given = GitRunnerBase.get_git_environ_adjusted({"A_TOKEN": "hunter2", "HOME": "/x"})
print(json.dumps({
    "same": {name: value for name, value in os.environ.items() if name in before} == before,
    "told": [name for name, value in told.items() if "hunter2" in value],
    "given": [name for name, value in given.items() if "hunter2" in value],
    "home": given["HOME"],
    "ssh": "GIT_SSH_COMMAND" in told,
    "known": ConfigManager().get("datalad.credential.icf.secret"),
    "global": datalad.cfg.get("datalad.credential.icf.secret"),
}))
"""


@pytest.mark.parametrize("first", ["", "import datalad.api\n"])
def test_datalad_knows_a_secret_that_its_git_is_not_told(first: str) -> None:
    """Also where somebody has imported it before; the environment is as it was."""
    done = subprocess.run(
        [sys.executable, "-c", first + CODE],
        env={**os.environ, **LOGIN},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {
        "same": True,
        "told": [],
        "given": [],
        "home": "/x",
        "ssh": True,
        "known": "hunter2",
        "global": "hunter2",
    }


def test_a_scientists_own_program_hands_on_the_log_in_and_nothing_of_the_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from datalad.runner.gitrunner import GitRunnerBase

    quiet_datalad.prepare()
    monkeypatch.setattr(quiet_datalad, "_login_too", False)
    given = {"DATALAD_CREDENTIAL_ICF_SECRET": "s", "ICFQUEUE_BROKER_PASSWORD": "p"}
    assert not given.keys() & GitRunnerBase.get_git_environ_adjusted(env=given).keys()
    quiet_datalad.hand_on_login()
    told = GitRunnerBase.get_git_environ_adjusted(env=given)
    assert given.keys() & told.keys() == {"DATALAD_CREDENTIAL_ICF_SECRET"}
