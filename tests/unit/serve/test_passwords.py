"""Password files: who enters, what is refused, and that a change is seen."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import bcrypt
import pytest

from icfqueue.core.errors import UsageError
from icfqueue.serve.passwords import PasswordFile


def hashed(password: str, kind: str = "2y") -> str:
    """Return the hash as ``htpasswd -B`` writes it, but quicker."""
    made = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
    return made.replace("$2b$", f"${kind}$")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    lines = [
        "# of the institute",
        "",
        f"alice:{hashed('p:w ü')}",
        f"bob:{hashed('b', '2b')}",
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_each_user_enters_with_the_own_password_alone(file: Path) -> None:
    users = PasswordFile(file)
    assert users.opens("alice", "p:w ü")
    assert users.opens("alice", "p:w ü")
    assert users.opens("bob", "b")
    for user, password in (("alice", "b"), ("alice", ""), ("bob", "p:w ü"), ("eve", "b")):
        assert not users.opens(user, password)
    assert not users.opens("alice", "x" * 100)
    assert not users.opens("eve", "nobody")
    assert not users.opens("", "")


def test_a_right_password_is_computed_once(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request brings it; computing it takes a core for a while."""
    users = PasswordFile(file)
    asked: list[str] = []
    real = users._compare
    monkeypatch.setattr(users, "_compare", lambda p, w: (asked.append(p), real(p, w))[1])
    for _ in range(5):
        assert users.opens("bob", "b")
    assert asked == ["b"]
    for _ in range(2):
        assert not users.opens("bob", "c")
    assert asked == ["b", "c", "c"]


def test_a_change_of_the_file_is_seen(file: Path) -> None:
    users = PasswordFile(file)
    assert users.opens("bob", "b")
    file.write_text(f"bob:{hashed('other')}\nnew:{hashed('n')}\n")
    os.utime(file, (1, 1))
    assert not users.opens("bob", "b")
    assert not users.opens("alice", "p:w ü")
    assert users.opens("bob", "other")
    assert users.opens("new", "n")
    # While it is being written nobody enters.
    file.write_text("")
    assert not users.opens("bob", "other")
    file.unlink()
    assert not users.opens("bob", "other")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "names no user"),
        (b"# nobody\n", "names no user"),
        (b"alice\n", "line 1 of"),
        (b"alice:secret\n", "line 1 of"),
        (b"alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n", "line 1 of"),
        (b"alice:$apr1$abcdefgh$0123456789012345678901\n", "line 1 of"),
        (b"\xff\n", "no text in UTF-8"),
    ],
)
def test_any_other_kind_is_refused_with_what_makes_one(
    tmp_path: Path, content: bytes, why: str
) -> None:
    path = tmp_path / "users"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=why) as caught:
        PasswordFile(path)
    assert "htpasswd -B" in caught.value.hint
    assert "secret" not in caught.value.message
    with pytest.raises(UsageError, match="cannot be read"):
        PasswordFile(tmp_path / "none")


def test_without_the_library_it_is_said_what_to_install(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bcrypt", None)
    with pytest.raises(UsageError) as caught:
        PasswordFile(file)
    assert caught.value.hint == "pip install bcrypt"
