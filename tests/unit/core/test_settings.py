"""Where a setting comes from, and what is said when it cannot be used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_type_hints

import pytest
from msgspec import Meta

from icfqueue.core import settings
from icfqueue.core.configured import sources
from icfqueue.core.errors import UsageError
from icfqueue.core.steps import STEPS


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder and user's configuration folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config" / "icfqueue").mkdir(parents=True)
    return tmp_path


def test_option_goes_before_environment_before_file_here_before_the_users_file(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def url() -> str:
        return settings.load(store_url=None).store_url

    assert url() == "https://data.inm-icf.de"
    user = here / "config" / "icfqueue" / "icfqueue.toml"
    user.write_text('store_url = "https://user"\nmax_attempts = 9\n')
    assert url() == "https://user"
    (here / "icfqueue.toml").write_text('store_url = "https://here/"\n')
    assert url() == "https://here"
    monkeypatch.setenv("ICFQUEUE_STORE_URL", "https://environment")
    assert url() == "https://environment"
    assert settings.load(store_url="https://option").store_url == "https://option"
    # A file says nothing of what it does not name.
    assert settings.load().max_attempts == 9


def test_the_file_that_the_environment_names_stands_for_the_one_here(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "icfqueue.toml").write_text("max_attempts = 2\n")
    (here / "site.toml").write_text("max_attempts = 3\n")
    monkeypatch.setenv("ICFQUEUE_CONFIG", str(here / "site.toml"))
    assert settings.load().max_attempts == 3
    monkeypatch.setenv("ICFQUEUE_CONFIG", str(here / "gone.toml"))
    with pytest.raises(UsageError, match=r"gone\.toml, which is no file"):
        settings.load()


@pytest.mark.parametrize("name", ["broker", "broker_url"])
def test_the_broker_is_called_in_the_file_as_the_option_is(here: Path, name: str) -> None:
    (here / "icfqueue.toml").write_text(f'{name} = "redis://:secret@host"\n')
    (here / "icfqueue.toml").chmod(0o600)
    found = settings.load()
    assert found.broker_url is not None
    assert found.broker_url.reveal() == "redis://:secret@host"
    assert "secret" not in repr(found)
    other = settings.load(broker_url="redis://option").broker_url
    assert other is not None
    assert other.reveal() == "redis://option"


@pytest.mark.parametrize("name", ["BROKER_URL", "BROKER", "STORE_DIR", "LEASE"])
def test_variables_of_other_programs_are_none_of_ours(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Celery's own BROKER_URL is set on many machines."""
    before = settings.load()
    monkeypatch.setenv(name, "redis://stranger")
    assert settings.load() == before


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("retry_atempts = 3", "retry_atempts"),
        ('store_url = "ftp://x"', "store_url"),
        ('store_url = "https://x/a b"', "store_url"),
        ('store_url = "https://x/?a=b"', "store_url"),
        ('store_url = "https://x/#a"', "store_url"),
        ("max_attempts = 0", "max_attempts"),
        ("lease = inf", "lease"),
        ("lease = nan", "lease"),
        ('broker_password = ["hunter2"]', "broker_password"),
        ("broker_url = 17171717", "broker_url"),
        ('catalog_link_color = "hunter2"', "catalog_link_color"),
        ("[stall]\nfetsch = 3", "stall"),
        ("[stall]\nfetch = 0", "stall"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_and_its_value_is_not_shown(
    here: Path, text: str, named: str
) -> None:
    (here / "icfqueue.toml").write_text(text + "\n")
    with pytest.raises(UsageError) as found:
        settings.load()
    assert f"setting {named}" in str(found.value)
    assert named.upper() in found.value.hint
    said = str(found.value) + found.value.hint
    assert "hunter2" not in said
    assert "17171717" not in said
    assert "\n" not in said


def test_a_secret_in_an_option_or_the_environment_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UsageError) as found:
        settings.load(broker_password=["hunter2"])
    assert "hunter2" not in str(found.value) + found.value.hint
    monkeypatch.setenv("ICFQUEUE_STALL", "hunter2")
    with pytest.raises(UsageError, match="stall") as found:
        settings.load()
    assert "hunter2" not in str(found.value) + found.value.hint


@pytest.mark.parametrize("content", [b"this is no toml", b"\xff\xfe", b"a = 'hunter2"])
def test_a_file_that_cannot_be_read_is_named(here: Path, content: bytes) -> None:
    (here / "icfqueue.toml").write_bytes(content)
    with pytest.raises(UsageError, match=r"icfqueue\.toml") as found:
        settings.load()
    assert "hunter2" not in str(found.value)


def test_a_limit_for_one_step_leaves_the_others_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ICFQUEUE_STALL", '{"fetch": 5}')
    assert settings.load().stall == settings.STALL | {"fetch": 5.0}


def test_the_limits_of_the_steps_are_those_that_the_steps_name() -> None:
    """Named once, where the steps are; the setting has one for each and no other."""
    assert {step.name: step.stall for step in STEPS} == settings.STALL
    assert settings.load().stall == settings.STALL
    assert settings.load().stall is not settings.STALL


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        settings.load().lease = 3.0  # type: ignore[misc]  # what is refused


def test_an_unknown_setting_is_answered_with_the_one_that_may_be_meant(here: Path) -> None:
    (here / "icfqueue.toml").write_text("max_atempts = 3\n")
    with pytest.raises(UsageError, match="did you mean max_attempts"):
        settings.load()


def test_values_of_the_environment_become_numbers_flags_and_paths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ICFQUEUE_MAX_ATTEMPTS", "7")
    monkeypatch.setenv("ICFQUEUE_LEASE", "2.5")
    monkeypatch.setenv("ICFQUEUE_CATALOG_EXPORT", "false")
    monkeypatch.setenv("ICFQUEUE_STORE_DIR", "/data")
    found = settings.load()
    assert (found.max_attempts, found.lease, found.catalog_export) == (7, 2.5, False)
    assert found.store_dir == Path("/data")
    monkeypatch.setenv("ICFQUEUE_MAX_ATTEMPTS", "many")
    with pytest.raises(UsageError, match="setting max_attempts: Expected `int`"):
        settings.load()


def test_a_variable_that_is_nearly_a_setting_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ICFQUEUE_PARENT", "1")
    settings.load()
    monkeypatch.setenv("ICFQUEUE_RETRY_CAPS", "5")
    with pytest.raises(UsageError, match="ICFQUEUE_RETRY_CAPS") as found:
        settings.load()
    assert "ICFQUEUE_RETRY_CAP?" in found.value.hint


def test_the_broker_is_called_in_the_environment_as_the_option_is_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ICFQUEUE_BROKER", "redis://host")
    found = settings.load().broker_url
    assert found is not None
    assert found.reveal() == "redis://host"


def test_an_empty_variable_sets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a compose file passes on what is not set."""
    before = settings.load()
    monkeypatch.setenv("ICFQUEUE_BROKER_URL", "")
    monkeypatch.setenv("ICFQUEUE_LEASE", "")
    assert settings.load() == before


def test_every_setting_says_what_it_means_in_a_sentence() -> None:
    """The reference in the documentation is made of these."""
    for name, kind in get_type_hints(settings.Settings, include_extras=True).items():
        metas = [meta for meta in kind.__metadata__ if isinstance(meta, Meta)]
        said = [meta.description for meta in metas if meta.description]
        assert len(said) == 1, name
        assert said[0][0].isupper(), name
        assert said[0].endswith("."), name


def test_secrets_that_are_kept_are_in_no_environment_and_still_settings(
    here: Path,  # noqa: ARG001 - there is no settings file
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A later value goes first: a test, or a library, may have set it anew."""
    monkeypatch.setenv("ICFQUEUE_BROKER_URL", "rediss://host")
    monkeypatch.setenv("ICFQUEUE_BROKER_PASSWORD", "hunter2")
    monkeypatch.setenv("ICFQUEUE_STORE_URL", "https://environment")
    before = settings.load()
    sources.keep_secrets()
    sources.keep_secrets()
    assert not set(sources.SECRETS) & set(os.environ)
    assert os.environ["ICFQUEUE_STORE_URL"] == "https://environment"
    assert settings.load() == before
    assert before.broker_password == settings.Secret("hunter2")
    monkeypatch.setenv("ICFQUEUE_BROKER_PASSWORD", "newer")
    assert settings.load().broker_password == settings.Secret("newer")
