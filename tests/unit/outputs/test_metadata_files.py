"""The two metadata files of a visit: what is read, what is damaged, what belongs where."""

from __future__ import annotations

import hashlib
import json

import pytest
from support.reading import counted_opens

from icfqueue.core.errors import BadMetadata
from icfqueue.core.visit import Visit
from icfqueue.outputs.metadata_files import (
    DicomsFile,
    TarballMeta,
    read_dicoms,
    read_tarball,
    sound_tarball,
    visits_with_both,
)
from icfqueue.store.directory import Store

V = Visit("study_1", "v1")
MD5 = "0" * 32
TOLD = TarballMeta(7, MD5, V.dspath, V.storepath)
TARBALL = {"size": 7, "md5": MD5, "dspath": V.dspath, "storepath": V.storepath}
LIST = [{"path": "a/b.dcm", "md5": MD5, "size": 3, "Modality": "MR"}]


@pytest.fixture
def store(store: Store) -> Store:
    """A store with both files of one visit."""
    store.project_dir("study_1").mkdir()
    store.path(V, V.metadata_tarball).write_text(json.dumps(TARBALL))
    store.path(V, V.metadata_dicoms).write_text(json.dumps(LIST))
    return store


def test_what_is_published_is_read(store: Store) -> None:
    assert read_tarball(store, V) == TOLD
    assert read_dicoms(store, V) == LIST


def test_files_of_the_older_tools_are_read_in_any_spacing(store: Store) -> None:
    store.path(V, V.metadata_tarball).write_text(json.dumps(TARBALL, indent=3))
    store.path(V, V.metadata_dicoms).write_text(json.dumps(LIST, indent=1) + "\n\n")
    assert read_tarball(store, V) == TOLD
    assert read_dicoms(store, V) == LIST


def test_a_missing_tarball_file_is_none_and_a_missing_list_an_error(store: Store) -> None:
    """The first vouches for the second: without it nothing is published."""
    for name in (V.metadata_tarball, V.metadata_dicoms):
        store.path(V, name).unlink()
    assert read_tarball(store, V) is None
    with pytest.raises(BadMetadata, match="missing"):
        read_dicoms(store, V)


DAMAGED = [
    "",
    "{",
    "[]",
    "7",
    "\udcff",
    "{}",
    '{"size": "1", "md5": "", "dspath": "", "storepath": ""}',
    json.dumps({"size": 1, "md5": "xyz", "dspath": "a", "storepath": "b"}),
    json.dumps({"size": -1, "md5": MD5, "dspath": "a", "storepath": "b"}),
    json.dumps({"size": True, "md5": MD5, "dspath": "a", "storepath": "b"}),
    json.dumps({"size": 1, "md5": MD5, "dspath": 1, "storepath": "b"}),
]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_tarball_file_is_a_clear_error_with_a_remedy(
    store: Store, text: str
) -> None:
    path = store.path(V, V.metadata_tarball)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadMetadata, match=r"v1_metadata_tarball\.json") as caught:
        read_tarball(store, V)
    assert "--force" in caught.value.hint
    assert sound_tarball(store, V) is None


def test_the_file_of_another_visit_is_none_of_this_one(store: Store) -> None:
    """Copied by hand, say: it is sound, and wrong here."""
    path = store.path(V, V.metadata_tarball)
    path.write_text(json.dumps({**TARBALL, "dspath": "icf/v2_dicom.tar"}))
    with pytest.raises(BadMetadata, match="another visit"):
        read_tarball(store, V)
    found = sound_tarball(store, V)
    assert found is not None
    assert found.dspath == "icf/v2_dicom.tar"


def test_a_sound_tarball_file_is_told_from_one_that_is_to_be_replaced(
    store: Store,
) -> None:
    path = store.path(V, V.metadata_tarball)
    assert sound_tarball(store, V) == TOLD
    path.unlink()
    assert sound_tarball(store, V) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", '["a"]', '[{"path": "a"}]'),
        '[{"path": 1, "md5": "", "size": 1}]',
        '[{"path": "a", "md5": "zz", "size": 1}]',
        '[{"path": "a", "md5": "' + MD5 + '", "size": "1"}]',
    ],
)
def test_a_damaged_list_is_a_clear_error(store: Store, text: str) -> None:
    store.path(V, V.metadata_dicoms).write_text(text)
    with pytest.raises(BadMetadata, match=r"v1_metadata_dicoms\.json"):
        read_dicoms(store, V)


def test_a_damaged_list_is_named_by_entry_and_shows_no_value(store: Store) -> None:
    bad = [*LIST, {"path": "DOE^JANE", "md5": "x", "size": 1}]
    store.path(V, V.metadata_dicoms).write_text(json.dumps(bad))
    with pytest.raises(BadMetadata, match="entry 1") as caught:
        read_dicoms(store, V)
    assert "DOE" not in caught.value.message + caught.value.hint


def test_the_list_is_read_once_however_often_it_is_asked_about(store: Store) -> None:
    content = store.path(V, V.metadata_dicoms).read_bytes()
    with counted_opens() as opens:
        file = DicomsFile(store, V)
        assert not opens, "nobody asked yet"
        assert [file.md5, file.md5] == [hashlib.md5(content).hexdigest()] * 2
        assert file.records() == LIST
    assert opens[V.metadata_dicoms] == 1


def test_a_list_that_is_not_there_is_looked_for_once(store: Store) -> None:
    store.path(V, V.metadata_dicoms).unlink()
    with counted_opens() as opens:
        file = DicomsFile(store, V)
        assert (file.md5, file.md5) == (None, None)
        with pytest.raises(BadMetadata, match="missing"):
            file.records()
    assert opens[V.metadata_dicoms] == 1


def test_what_was_parsed_is_let_go_of_and_read_again_if_asked_for_again(
    store: Store,
) -> None:
    """A list of 100,000 files has 30 MB: it is not kept beside what was made of it."""
    file = DicomsFile(store, V)
    file.records()
    assert file._content is None
    changed = [*LIST, {**LIST[0], "path": "c"}]
    store.path(V, V.metadata_dicoms).write_text(json.dumps(changed))
    assert file.records() == changed


def test_visits_with_both_files_are_found_among_names() -> None:
    other = Visit("study_1", "a")
    names = [
        *(V.metadata_tarball, V.metadata_dicoms, other.metadata_dicoms),
        *(other.metadata_tarball, "b_metadata_dicoms.json", "c_metadata_tarball.json"),
        *("x y_metadata_dicoms.json", "x y_metadata_tarball.json", "README"),
        *("_metadata_dicoms.json", "_metadata_tarball.json"),
    ]
    assert visits_with_both("study_1", names) == [other, V]
    assert visits_with_both("study_1", []) == []
