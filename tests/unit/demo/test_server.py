"""The demo's store: who may enter."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.credentials import basic

from icfqueue.demo.server import DemoStore


def test_only_the_right_login_opens_the_store(tmp_path: Path) -> None:
    with DemoStore(tmp_path, user="alice", password="p:w", realm="R") as web:
        assert web.allows(basic("alice:p:w"))
        for header in (None, "", "Basic", basic("alice:"), basic("bob:p:w"), "Bearer p:w"):
            assert not web.allows(header)
        assert not web.allows("ü")
        web.auth = False
        assert web.allows(None)


def test_a_folder_that_is_not_there_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        DemoStore(tmp_path / "none")
