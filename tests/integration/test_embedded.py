"""The embedded broker comes with its first user, goes with its last, and keeps its data."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from icfqueue.broker import embedded
from icfqueue.broker.embedded import EmbeddedServer
from icfqueue.core.errors import Unreachable

USER = """
import pathlib, sys, time
from icfqueue.broker.embedded import EmbeddedServer
with EmbeddedServer(pathlib.Path(sys.argv[1])) as server:
    client = server.broker.check()
    client.incr("users")
    print(client.info("server")["process_id"], flush=True)
    sys.stdin.readline()
    assert client.ping()
    client.close()
"""


@pytest.fixture(autouse=True)
def no_server_is_left(store_dir: Path) -> Iterator[None]:
    yield
    left = servers(store_dir)
    for process in left:
        process.kill()
    assert not left, "a server outlived the test"


@pytest.fixture
def store_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


def servers(store_dir: Path) -> list[psutil.Process]:
    """Return the servers of that store that are up."""
    try:
        path = str(EmbeddedServer(store_dir).socket)
    except Unreachable:
        return []
    found = []
    for process in psutil.process_iter():
        try:
            # A server shows its socket in its title.
            if any(word.endswith(f":{path}") for word in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def gone(store_dir: Path) -> bool:
    end = time.monotonic() + 20.0
    while servers(store_dir):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def start_user(store_dir: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(store_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def server_of(user: subprocess.Popen[str]) -> int:
    assert user.stdout
    return int(user.stdout.readline())


def end(user: subprocess.Popen[str]) -> int:
    user.communicate("\n", timeout=20)
    return user.returncode


def put(server: EmbeddedServer, value: str) -> None:
    with server.broker.check() as client:
        client.set("key", value)


def get(server: EmbeddedServer) -> object:
    with server.broker.check() as client:
        return client.get("key")


def test_it_starts_with_its_user_stops_with_it_and_the_data_outlast_it(
    store_dir: Path,
) -> None:
    with EmbeddedServer(store_dir) as server:
        put(server, "kept")
        assert len(servers(store_dir)) == 1
    assert gone(store_dir)
    assert not server.socket.exists()
    with EmbeddedServer(store_dir) as server:
        assert get(server) == "kept"


def test_the_first_of_two_to_leave_does_not_stop_it(store_dir: Path) -> None:
    with EmbeddedServer(store_dir) as first:
        second = EmbeddedServer(store_dir)
        second.__enter__()
        put(first, "x")
    assert get(second) == "x"
    second.__exit__(None, None, None)
    assert gone(store_dir)


def test_eight_that_start_at_once_meet_at_one_server(store_dir: Path) -> None:
    users = [start_user(store_dir) for _ in range(8)]
    assert len({server_of(user) for user in users}) == 1
    with EmbeddedServer(store_dir) as server, server.broker.check() as client:
        assert client.get("users") == "8"
    assert [end(user) for user in users] == [0] * 8
    assert gone(store_dir)


def test_users_that_come_and_go_never_find_it_gone(store_dir: Path) -> None:
    """The last one that leaves and the next one that comes meet at the door."""
    for _ in range(3):
        users = [start_user(store_dir) for _ in range(3)]
        for user in users:
            assert user.stdin
            user.stdin.write("\n")
            user.stdin.flush()
        assert [user.wait(20) for user in users] == [0, 0, 0]
        for user in users:
            user.communicate()
    with EmbeddedServer(store_dir) as server, server.broker.check() as client:
        assert client.get("users") == "9"


def test_killed_it_is_brought_back_with_its_data(store_dir: Path) -> None:
    with EmbeddedServer(store_dir) as server:
        put(server, "kept")
        # Written to its file at the latest after a second ('appendfsync everysec' is
        # about the disk; the write itself comes before the answer).
        (process,) = servers(store_dir)
        process.kill()
        assert gone(store_dir)
        with pytest.raises(Unreachable):
            server.broker.check()
        server.ensure()
        assert get(server) == "kept"
        server.ensure()
        assert len(servers(store_dir)) == 1


def test_a_user_that_was_killed_does_not_keep_it_up(store_dir: Path) -> None:
    user = start_user(store_dir)
    server_of(user)
    user.kill()
    user.communicate()
    assert len(servers(store_dir)) == 1
    with EmbeddedServer(store_dir):
        pass
    assert gone(store_dir)


def test_while_it_reads_its_data_others_wait_for_it(store_dir: Path) -> None:
    """A stopped server answers nothing; woken, it is found, not started a second time."""
    with EmbeddedServer(store_dir) as server:
        (process,) = servers(store_dir)
        process.suspend()
        began = time.monotonic()
        with pytest.raises(Unreachable):
            server.broker.check()
        assert time.monotonic() - began < 5.0
        process.resume()
        server.ensure()
        assert servers(store_dir) == [process]


def test_commands_of_a_session_and_of_cron_meet_at_one_server(
    store_dir: Path, tmp_path: Path
) -> None:
    """XDG_RUNTIME_DIR is set in a login session and not in cron or a batch job."""
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    users = [start_user(store_dir, XDG_RUNTIME_DIR=str(runtime)), start_user(store_dir)]
    assert len({server_of(user) for user in users}) == 1
    assert [end(user) for user in users] == [0, 0]


def test_only_its_owner_may_open_data_and_socket(store_dir: Path) -> None:
    with EmbeddedServer(store_dir) as server:
        for folder in (server.folder, server.socket.parent):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert folder.stat().st_uid == os.getuid()
        assert stat.S_IMODE(server.socket.stat().st_mode) & 0o077 == 0
        for path in server.folder.iterdir():
            if path.is_file() and path.name in {"users", "server", "starting"}:
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
        (process,) = servers(store_dir)
        assert not [c for c in process.net_connections() if c.family != socket.AF_UNIX]


@pytest.fixture
def socket_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "t"
    root.mkdir()
    monkeypatch.setattr(embedded, "SOCKET_ROOT", root)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    return root / f"icfqueue-{os.getuid()}"


def test_a_socket_folder_that_is_open_to_others_is_refused(
    store_dir: Path, socket_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "SOCKET_ROOM", 1000)
    socket_root.mkdir(mode=0o755)
    with pytest.raises(Unreachable, match="open to others") as found:
        EmbeddedServer(store_dir)
    assert str(socket_root) in str(found.value)
    assert found.value.exit_code == 3


@pytest.mark.parametrize("what", ["foreign", "link", "file"])
def test_a_socket_folder_that_somebody_else_made_is_refused(
    store_dir: Path,
    socket_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    what: str,
) -> None:
    monkeypatch.setattr(embedded, "SOCKET_ROOM", 1000)
    if what == "foreign":
        socket_root.mkdir(mode=0o700)
        uid = os.getuid() + 1
        monkeypatch.setattr(os, "getuid", lambda: uid)
        socket_root.rename(socket_root.with_name(f"icfqueue-{uid}"))
    elif what == "link":
        (tmp_path / "trap").mkdir(mode=0o700)
        socket_root.symlink_to(tmp_path / "trap")
    else:
        socket_root.touch()
    with pytest.raises(Unreachable, match="somebody else"):
        EmbeddedServer(store_dir)
    # A folder of one's own elsewhere is the way out.
    with pytest.MonkeyPatch.context() as patch:
        runtime = tmp_path / "run"
        runtime.mkdir(mode=0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        if what != "foreign":
            assert EmbeddedServer(store_dir).socket.parent == runtime / "icfqueue"


@pytest.mark.parametrize(
    "name",
    [
        "x" * 120,
        "with space",
        "ümläut-日本",
        "hash#mark",
        "per%20cent",
        "quote'\"",
        "a?b",
        "-x",
    ],
)
def test_a_store_directory_of_any_name_has_a_broker(tmp_path: Path, name: str) -> None:
    """Also one that is longer than the path of a Unix socket may be (107 bytes)."""
    folder = tmp_path / name / ("y" * 60 if len(name) > 100 else "z")
    folder.mkdir(parents=True)
    for value in ("one", "two"):
        with EmbeddedServer(folder) as server:
            assert len(os.fsencode(server.socket)) <= 107
            if value == "two":
                assert get(server) == "one"
            put(server, value)
    assert gone(folder)


def test_a_store_directory_by_another_way_is_the_same(
    store_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link"
    link.symlink_to(store_dir)
    monkeypatch.chdir(store_dir)
    sockets = {EmbeddedServer(path).socket for path in (store_dir, link, Path())}
    assert len(sockets) == 1


def test_a_store_directory_that_cannot_be_written_is_told_in_one_line(
    store_dir: Path,
) -> None:
    """Root may write everywhere but below a file: there the folder cannot be made."""
    (store_dir / ".icfqueue").write_text("in the way")
    with pytest.raises(Unreachable, match="cannot keep its data") as found:
        EmbeddedServer(store_dir).__enter__()
    assert found.value.exit_code == 3
    assert "\n" not in str(found.value)


def test_a_store_of_which_another_host_has_the_broker_is_refused(
    store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedServer(store_dir):
        other = EmbeddedServer(store_dir)
        other.socket = other.socket.with_name("elsewhere.sock")
        here = socket.gethostname()
        monkeypatch.setattr(socket, "gethostname", lambda: "node2")
        with pytest.raises(Unreachable, match=f"runs on {here}") as found:
            other.__enter__()
        assert "--broker" in found.value.hint
        monkeypatch.undo()
    assert gone(store_dir)


def test_a_server_that_does_not_start_is_told_with_its_log(store_dir: Path) -> None:
    with EmbeddedServer(store_dir) as server:
        put(server, "x")
        folder = server.folder
    (manifest,) = (folder / "appendonlydir").glob("*.manifest")
    manifest.write_text("nonsense\n")
    with pytest.raises(Unreachable, match="does not start") as found:
        EmbeddedServer(store_dir).__enter__()
    assert str(folder / "log") in str(found.value)
    assert (folder / "log").read_text()
    assert "icfqueue reconcile PROJECT" in found.value.hint
    assert gone(store_dir)


def test_data_that_are_damaged_are_mended_by_what_is_said_to_help(store_dir: Path) -> None:
    """What was written before the damage is there again."""
    with EmbeddedServer(store_dir) as server:
        folder = server.folder
    with EmbeddedServer(store_dir) as server:
        put(server, "x")
    (file,) = (folder / "appendonlydir").glob("*.incr.aof")
    with file.open("ab") as damaged:
        damaged.write(b"\0" * 40)
        damaged.write(b"*1\r\n$4\r\nPING\r\n")
    with pytest.raises(Unreachable, match="does not start") as found:
        EmbeddedServer(store_dir).__enter__()
    assert "icfqueue reconcile PROJECT" in found.value.hint
    command = found.value.hint.partition("; or ")[2].partition(" leaves out")[0]
    subprocess.run(command, shell=True, check=True, input=b"y\n", capture_output=True)
    with EmbeddedServer(store_dir) as server, server.broker.connect() as client:
        assert client.dbsize() == 1
    assert gone(store_dir)


def test_ctrl_c_in_the_terminal_does_not_reach_it(store_dir: Path) -> None:
    with EmbeddedServer(store_dir) as server:
        (process,) = servers(store_dir)
        assert os.getsid(process.pid) != os.getsid(0)
        process.send_signal(signal.SIGWINCH)
        put(server, "x")


def test_the_folder_above_its_data_is_the_groups_and_the_data_are_not(
    store_dir: Path,
) -> None:
    """Others of the group write their logs there."""
    store_dir.chmod(0o2775)
    with EmbeddedServer(store_dir):
        above = (store_dir / ".icfqueue").stat()
        assert above.st_mode & stat.S_ISGID
        assert above.st_gid == store_dir.stat().st_gid
        assert (store_dir / ".icfqueue/broker").stat().st_mode & 0o077 == 0
