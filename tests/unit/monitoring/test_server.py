"""The numbers on the web."""

from __future__ import annotations

import sys
import urllib.request

import pytest
from msgspec import structs
from support.valkey import Valkey

from icfqueue.core.errors import UsageError
from icfqueue.core.settings import Secret, Settings
from icfqueue.monitoring.server import serving


@pytest.fixture
def chosen(settings: Settings, valkey: Valkey) -> Settings:
    return structs.replace(settings, broker_url=Secret(valkey.url))


def test_they_are_served_for_the_length_of_a_block(chosen: Settings) -> None:
    with (
        serving(chosen, "127.0.0.1", 0) as address,
        urllib.request.urlopen(address) as answer,
    ):
        assert b"icfqueue_up 1.0" in answer.read()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address)


def test_a_port_that_is_taken_is_said(chosen: Settings) -> None:
    with serving(chosen, "127.0.0.1", 0) as address:
        port = int(address.rpartition(":")[2].partition("/")[0])
        with pytest.raises(UsageError, match=f"port {port} is taken") as caught:
            serving(chosen, "127.0.0.1", port).__enter__()
    assert "--port" in caught.value.hint


def test_an_address_that_is_none_of_ours_is_said(chosen: Settings) -> None:
    with pytest.raises(UsageError, match=r"192\.0\.2\.1"):
        serving(chosen, "192.0.2.1", 0).__enter__()


def test_without_the_package_there_is_a_remedy(
    chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(UsageError) as caught:
        serving(chosen, "127.0.0.1", 0).__enter__()
    assert caught.value.hint == "pip install prometheus-client"
