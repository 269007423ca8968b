"""Serving a store: where it listens, who may enter, what is refused before."""

from __future__ import annotations

import socket
from pathlib import Path

import bcrypt
import pytest
import requests
from msgspec import structs

from icfqueue.core.errors import UsageError
from icfqueue.core.settings import Settings
from icfqueue.serve.serving import serving
from icfqueue.store.directory import Store


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    made = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    path.write_text(f"alice:{made}\n")
    return path


def test_on_loopback_the_store_is_there_for_everybody(
    store: Store, settings: Settings
) -> None:
    (store.root / "study_1").mkdir()
    (store.root / "study_1" / "v_dicom.tar").write_bytes(b"bytes")
    with serving(settings, "127.0.0.1", 0, None) as server:
        page = requests.get(f"{server.url}/", timeout=20)
        assert settings.catalog_name in page.text
        assert "study_1/" in page.text
        part = requests.get(
            f"{server.url}/study_1/v_dicom.tar",
            headers={"Range": "bytes=1-2"},
            timeout=20,
        )
        assert (part.status_code, part.content) == (206, b"yt")
        other = {"Host": "evil.example.org"}
        assert requests.get(server.url, headers=other, timeout=20).status_code == 421


def test_with_a_password_file_its_users_enter_by_any_name(
    settings: Settings, file: Path
) -> None:
    other = {"Host": "icf.example.org"}
    with serving(settings, "127.0.0.1", 0, file) as server:
        url = f"{server.url}/"
        assert requests.get(url, timeout=20).status_code == 401
        for login, status in ((("alice", "secret"), 200), (("alice", "x"), 401)):
            answer = requests.get(url, auth=login, headers=other, timeout=20)
            assert answer.status_code == status


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "icf.example.org"])
def test_where_others_can_reach_it_a_password_is_needed(
    settings: Settings, host: str
) -> None:
    with (
        pytest.raises(UsageError, match="without a password"),
        serving(settings, host, 0, None),
    ):
        pass


def test_all_addresses_can_be_served_with_one(settings: Settings, file: Path) -> None:
    with serving(settings, "0.0.0.0", 0, file) as server:
        # What it says of itself can be typed elsewhere, 0.0.0.0 cannot.
        assert server.url == f"http://{socket.gethostname()}:{server.port}"
        address = f"http://127.0.0.1:{server.port}/"
        assert requests.get(address, timeout=20).status_code == 401


def test_a_port_that_is_taken_is_wrong_usage(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(UsageError, match=f"port {port} is taken"),
            serving(settings, "127.0.0.1", port, None),
        ):
            pass


def test_a_store_that_is_not_there_is_wrong_usage(
    settings: Settings, tmp_path: Path
) -> None:
    gone = structs.replace(settings, store_dir=tmp_path / "none")
    with (
        pytest.raises(UsageError, match="is not there"),
        serving(gone, "127.0.0.1", 0, None),
    ):
        pass
