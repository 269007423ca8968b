"""What programs are told that need no secret."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from icfqueue.broker.embedded import EmbeddedServer
from icfqueue.core.processes.groups import without_secrets
from icfqueue.dataset import programs

SECRETS = {
    "ICFQUEUE_BROKER_URL": "redis://:hunter2@host/0",
    "ICFQUEUE_BROKER_PASSWORD": "hunter2",
    "DATALAD_CREDENTIAL_STORE_SECRET": "hunter2",
    "DATALAD_CONFIG_OVERRIDES_JSON": '{"datalad.credential.store.secret": "hunter2"}',
    "datalad_credential_x_user": "hunter2",
    "VALKEY_PASSWORD": "hunter2",
    "REDISCLI_AUTH": "hunter2",
    "GITHUB_TOKEN": "hunter2",
    "AWS_SECRET_ACCESS_KEY": "hunter2",
    "SOMETHING": "https://user:hunter2@proxy:3128",
}
HARMLESS = {
    "HOME": "/home/somebody",
    "LANG": "C",
    "TMPDIR": "/tmp",
    "https_proxy": "http://proxy:3128",
    "SSL_CERT_FILE": "/etc/ssl/cert.pem",
}


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def test_secrets_are_left_out_and_the_rest_is_kept() -> None:
    assert without_secrets(SECRETS | HARMLESS) == HARMLESS


@pytest.mark.usefixtures("secrets")
def test_git_and_git_annex_are_told_no_secret(tmp_path: Path) -> None:
    """As the kernel shows the environment of the process (proc_pid_environ(5))."""
    for program in ("git", "git-annex"):
        words = [program, "cat-file", "--batch"]
        if program == "git":
            subprocess.run(["git", "init", "-q", "--bare", tmp_path], check=True)
        else:
            words = [program, "examinekey", "--batch"]
        with subprocess.Popen(
            words,
            env=programs.environment(in_repository=True),
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        ) as started:
            # Empty while the process is being made.
            environ = Path(f"/proc/{started.pid}/environ")
            while not (seen := environ.read_bytes()):
                assert started.poll() is None
            started.send_signal(signal.SIGKILL)
        assert b"hunter2" not in seen
        assert b"PATH=" in seen


@pytest.mark.usefixtures("secrets")
def test_the_embedded_broker_is_told_no_secret(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server, server.broker.check() as client:
        number = client.info("server")["process_id"]
        seen = Path(f"/proc/{number}/environ").read_bytes()
    assert b"hunter2" not in seen
    assert os.environ["ICFQUEUE_BROKER_PASSWORD"] == "hunter2"
