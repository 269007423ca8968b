"""The id of a store directory: made once, moves with it, tells it from any other."""

from __future__ import annotations

import os
import subprocess
import threading

import pytest

from icfqueue.core.errors import OtherStore, UnsafePath
from icfqueue.store import identity
from icfqueue.store.directory import Store


def test_a_new_folder_has_none_and_keeps_the_one_it_gets(store: Store) -> None:
    assert identity.read(store) is None
    made = identity.make(store)
    assert len(made) == 32
    assert identity.make(store) == identity.read(store) == made
    assert [path.name for path in identity.path_of(store).parent.iterdir()] == ["store-id"]


def test_one_that_is_not_seen_after_it_was_made_is_no_id(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "read", lambda _: None)
    with pytest.raises(OtherStore, match="was made and is not there"):
        identity.make(store)


def test_of_many_that_make_one_at_once_all_have_the_same(store: Store) -> None:
    found: list[str] = []
    start = threading.Barrier(8)

    def make() -> None:
        start.wait()
        found.append(identity.make(Store(store.root)))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert set(found) == {identity.read(store)}


def test_without_second_names_it_is_renamed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert identity.make(store) == identity.make(store)


@pytest.mark.parametrize("text", ["", "x", "g" * 32, "0" * 33, "\udcff"])
def test_what_is_no_id_is_said_to_be_none(store: Store, text: str) -> None:
    path = identity.path_of(store)
    path.parent.mkdir()
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(OtherStore, match="holds no id"):
        identity.read(store)


def test_a_link_is_no_id(store: Store) -> None:
    path = identity.path_of(store)
    path.parent.mkdir()
    path.symlink_to("/etc/hostname")
    with pytest.raises(UnsafePath):
        identity.read(store)


@pytest.mark.parametrize("of", ["missing", "differs"])
def test_the_remedy_works_when_pasted(store: Store, of: str) -> None:
    wanted = "0123456789abcdef" * 2
    if of == "missing":
        error = identity.missing(store, wanted)
    else:
        error = identity.differs(store, identity.make(store), wanted)
    command = error.hint[error.hint.index("mkdir") :]
    subprocess.run(command, shell=True, check=True)
    assert identity.read(store) == wanted


def test_what_is_pasted_is_quoted(store: Store) -> None:
    """Whatever the broker calls an id."""
    assert "echo '$(id)' >" in identity.missing(store, "$(id)").hint
