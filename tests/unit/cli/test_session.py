"""What a command works with: opened, and closed again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner
from support.valkey import Valkey, free_port
from support.waiting import wait_until

from icfqueue.broker.queues import Queues
from icfqueue.cli import session as command_session
from icfqueue.cli.group import cli
from icfqueue.cli.session import load_settings, session
from icfqueue.core.errors import NothingYet, Unreachable, UsageError
from icfqueue.operations.enqueue import Producer
from icfqueue.store.directory import Store


def test_options_go_before_the_environment_and_what_was_not_given_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ICFQUEUE_STORE_URL", "https://environment")
    monkeypatch.setenv("ICFQUEUE_BROKER_URL", "redis://environment")
    found = load_settings({"store_dir": tmp_path, "store_url": None, "broker": None})
    assert (found.store_dir, found.store_url) == (tmp_path, "https://environment")
    assert found.broker_url is not None
    assert found.broker_url.reveal() == "redis://environment"
    given = load_settings({"broker": "redis://option", "credential": "icf", "force": True})
    assert given.broker_url is not None
    assert (given.broker_url.reveal(), given.credential) == ("redis://option", "icf")


def test_a_broker_whose_password_was_moved_to_the_environment_is_taken_from_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once: what this process starts gets the settings, not the mark."""
    monkeypatch.setenv("ICFQUEUE_BROKER_URL", "redis://:hunter2@host")
    monkeypatch.setenv("ICFQUEUE_BROKER_FROM_ENVIRONMENT", "1")
    monkeypatch.setattr(command_session, "_without_password", set())
    found = load_settings({"broker": "redis://host"})
    assert found.broker_url is not None
    assert found.broker_url.reveal() == "redis://:hunter2@host"
    assert "ICFQUEUE_BROKER_FROM_ENVIRONMENT" not in os.environ
    # Some commands ask twice.
    assert load_settings({"broker": "redis://host"}) == found


def test_the_brokers_password_leaves_the_environment_with_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ICFQUEUE_BROKER_URL", "redis://:hunter2@host")
    monkeypatch.setenv("ICFQUEUE_BROKER_PASSWORD", "hunter3")
    found = load_settings({})
    assert not [name for name, value in os.environ.items() if "hunter" in value]
    assert load_settings({}) == found
    assert found.broker_password is not None


def test_with_a_broker_named_none_is_started(store: Store, valkey: Valkey) -> None:
    where = {"store_dir": store.root, "broker": valkey.broker.url}
    with session(where) as opened:
        assert opened.embedded is None
        assert opened.client.ping()
        assert opened.ledger.projects() == []
        assert opened.ledger is opened.ledger
        assert isinstance(opened.queues(), Queues)
        assert isinstance(opened.producer, Producer)
        with opened.remote() as remote:
            assert remote.url == opened.settings.store_url
        mine = str(opened.client.client_id())
    assert list(store.root.rglob("store-id")), "it can be told from other stores"
    assert not list(store.root.rglob("broker"))
    with valkey.client() as other:
        wait_until(
            lambda: mine not in {found["id"] for found in other.client_list()},
            20,
            "its connection is closed",
        )


def test_without_one_the_embedded_server_comes_and_goes(store: Store) -> None:
    with session({"store_dir": store.root}) as opened:
        assert opened.embedded is not None
        assert opened.client.ping()
        address = opened.broker
    with pytest.raises(Unreachable):
        address.check()


def test_a_question_makes_no_broker_where_there_is_none(store: Store) -> None:
    with (
        pytest.raises(NothingYet, match="nothing was ever enqueued") as caught,
        session({"store_dir": store.root}, asking=True),
    ):
        pytest.fail("a broker was made")
    assert caught.value.exit_code == 2
    assert list(store.root.iterdir()) == []
    with session({"store_dir": store.root}):
        pass
    with session({"store_dir": store.root}, asking=True) as opened:
        assert opened.embedded is not None


def test_a_store_directory_that_is_missing_is_wrong_usage(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="is not there"),
        session({"store_dir": tmp_path / "gone"}),
    ):
        pytest.fail("it was opened")


def test_a_broker_that_is_away_is_unreachable(store: Store) -> None:
    where = {"store_dir": store.root, "broker": f"redis://127.0.0.1:{free_port()}/0"}
    with pytest.raises(Unreachable, match="does not answer"), session(where):
        pytest.fail("it was opened")


def test_an_error_within_it_passes_and_closes_it(store: Store, valkey: Valkey) -> None:
    where = {"store_dir": store.root, "broker": valkey.broker.url}
    with pytest.raises(redis.RedisError), session(where):
        raise redis.RedisError("x")


def test_where_all_is_is_said_to_who_wants_to_know_more(
    store: Store, valkey: Valkey
) -> None:
    where = ["--store-dir", str(store.root), "--broker", valkey.broker.url]
    done = CliRunner().invoke(cli, ["status", *where, "-v"])
    assert f"store directory {store.root}, store URL" in done.stderr
    assert valkey.broker.shown in done.stderr
    assert "store directory" not in CliRunner().invoke(cli, ["status", *where]).stderr


def test_a_command_about_a_folder_makes_nothing_where_there_is_none(
    store: Store, valkey: Valkey
) -> None:
    for broker in (None, valkey.broker.url):
        where = {"store_dir": store.root, "broker": broker}
        with (
            pytest.raises(UsageError, match="study_1 is not there"),
            session(where, folder_of="study_1"),
        ):
            pass
    assert [*store.root.iterdir()] == []
