"""Logging in with DataLad's credentials: for whom, by which one, and never by asking."""

from __future__ import annotations

import getpass
import threading
from typing import Any

import pytest
import requests

from icfqueue.remote import login
from icfqueue.remote.login import StoreLogin, no_prompt, silent_manager


def test_a_keyring_that_wants_its_own_password_counts_as_none() -> None:
    before = getpass.getpass
    with login.no_prompt(), pytest.raises(EOFError):
        getpass.getpass("Please enter password for encrypted keyring: ")
    assert getpass.getpass is before


@pytest.mark.parametrize(
    ("url", "covered"),
    [
        ("https://data.example.org/study/x", True),
        ("https://data.example.org:443/elsewhere", True),
        ("https://DATA.example.org/study/x", True),
        ("http://data.example.org/study/x", False),
        ("https://data.example.org:8443/study/x", False),
        ("https://data.example.org.evil.example/study/x", False),
        ("https://other.example.org/study/x", False),
    ],
)
def test_the_credential_goes_to_the_stores_origin_alone(url: str, covered: bool) -> None:
    asked = login.StoreLogin("https://data.example.org", None)
    assert asked.covers(url) is covered


@pytest.mark.parametrize(
    ("own", "elsewhere"),
    [
        ("https://data.example.org", False),
        ("https://DATA.example.org:443/below", False),
        ("https://data.example.org.", False),
        ("http://data.example.org", True),
        ("https://data.example.org:8443", True),
        ("https://example.org", True),
        ("https://data.example.org.evil.example", True),
    ],
)
def test_a_store_of_another_origin_than_the_settings_gets_no_credential(
    own: str, elsewhere: bool
) -> None:
    url = "https://data.example.org/icf"
    asked = login.StoreLogin(url, "icf", own)
    assert asked.elsewhere is elsewhere
    assert asked.covers(f"{url}/study_1/v_dicom.tar") is not elsewhere


def test_projects_have_credentials_of_their_own() -> None:
    asked = login.StoreLogin("https://data.example.org/~icf", None)
    assert asked.area("https://data.example.org/%7Eicf/study_1/v_dicom.tar") == "study_1"
    assert asked.area("https://data.example.org/~icf/study_2/") == "study_2"


def test_the_prompt_is_given_back_after_an_error_too() -> None:
    before = getpass.getpass
    with pytest.raises(ZeroDivisionError), no_prompt():
        raise ZeroDivisionError
    assert getpass.getpass is before


def test_threads_take_turns_at_forbidding_the_prompt() -> None:
    """Else one would give back what the other has put in its place."""
    before = getpass.getpass

    def look() -> None:
        for _ in range(50):
            with no_prompt():
                pass

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert getpass.getpass is before


def test_a_manager_of_credentials_asks_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not even where DataLad takes this process for one with a terminal."""
    from datalad_next import credman
    from datalad_next.config import ConfigManager

    class Interactive:
        is_interactive = True

        def question(self, *_: object, **__: object) -> None:
            pytest.fail("somebody was asked")

    monkeypatch.setattr(credman.manager, "ui", Interactive())
    found = silent_manager(ConfigManager()).get(
        name="nobody", _prompt="who?", _type_hint="user_password"
    )
    assert not (found or {}).get("secret")


def answer_to(url: str, header: str, status: int = 200) -> requests.Response:
    """Return the answer to a request that was sent with this header."""
    made = requests.Response()
    made.status_code, made.url = status, url
    made.request = requests.Request("GET", url, {"Authorization": header}).prepare()
    return made


def test_what_opened_a_project_is_sent_at_once_the_next_time_and_to_it_alone() -> None:
    asked = StoreLogin("https://data.example.org", None)
    asked._remember(answer_to("https://data.example.org/study_1/x", "Basic abc"))
    sent = {
        url: _sent(asked, url)
        for url in (
            "https://data.example.org/study_1/y",
            "https://data.example.org/study_2/y",
            "https://evil.example.org/study_1/y",
        )
    }
    assert list(sent.values()) == ["Basic abc", None, None]


def _sent(asked: StoreLogin, url: str) -> Any:
    request = requests.Request("GET", url).prepare()
    return asked.auth()(request).headers.get("Authorization")


@pytest.mark.parametrize("status", [401, 403])
def test_what_is_refused_is_forgotten(status: int) -> None:
    asked = StoreLogin("https://data.example.org", None)
    url = "https://data.example.org/study_1/x"
    asked._remember(answer_to(url, "Basic abc"))
    asked._remember(answer_to(url, "Basic abc", status))
    assert _sent(asked, url) is None


def test_an_answer_to_one_challenge_is_not_sent_again() -> None:
    """A digest is good for once."""
    asked = StoreLogin("https://data.example.org", None)
    url = "https://data.example.org/study_1/x"
    asked._remember(answer_to(url, "Digest abc"))
    assert _sent(asked, url) is None


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (("basic", None, None), "with a secret was not found"),
        (("basic", "x", {"user": "me"}), "with a secret was not found"),
        (("basic", "x", {"secret": "s3cret"}), "has no user"),
        (("basic", "x", {"secret": "s3cret", "user": "me"}), "was refused"),
    ],
)
def test_why_there_is_no_access_is_told_without_the_secret(found: Any, words: str) -> None:
    asked = StoreLogin("https://data.example.org", "x")
    url = "https://data.example.org/study_1/x"
    asked._checked(lambda *_: found, url, {"basic": {"realm": "icf"}})
    assert words in asked.refusal
    assert "s3cret" not in asked.refusal
    assert asked.realm == "https://data.example.org/icf"


def test_a_token_needs_no_user() -> None:
    asked = StoreLogin("https://data.example.org", None)
    token = {"type": "token", "secret": "s3cret"}
    found = asked._checked(
        lambda *_: ("bearer", "x", token), "https://data.example.org/p", {"bearer": {}}
    )
    assert found == ("bearer", "x", token)


def test_a_keyring_that_fails_is_a_refusal_that_names_its_kind() -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the keyring quotes s3cret")

    asked = StoreLogin("https://data.example.org", None)
    assert asked._checked(fail, "https://data.example.org/p", {"basic": {}}) == (None,) * 3
    assert asked.refusal == "DataLad's look-up failed (RuntimeError)"
