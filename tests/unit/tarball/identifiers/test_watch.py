"""What is found of a person in paths and tags, and what is none: planted cases, counted."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import pytest
from support.guards import CountingGuard

from benchmarks import identifiers as planted
from benchmarks.identifiers import LATIN, VISIT, Case, Person, image
from icfqueue.core.options import Identifiers
from icfqueue.core.visit import Visit
from icfqueue.demo.visits import write_tar
from icfqueue.tarball.dicom_tags import TagReader
from icfqueue.tarball.identifiers import values
from icfqueue.tarball.identifiers.watch import Watch
from icfqueue.tarball.scan import index_stream

NOBODY = Person(LATIN, "", id="", birth_date="", other_id="", accession="")


def looked(
    person: Person,
    *paths: str,
    tags: tuple[str, ...] = (),
    visit: Visit = VISIT,
    patterns: tuple[str, ...] = (),
) -> Identifiers:
    """Return what is found of a person in these paths, and in these descriptions."""
    watch = Watch(visit, patterns)
    reader = TagReader(watch.values)
    for tag in tags or ("t1",):
        assert reader.read(image(person, tag))
    folders: dict[str, set[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, set()).add(name)
    watch.look(folders)
    return watch.found


def test_what_is_planted_is_found_in_every_script_and_way_of_writing() -> None:
    """At least 200 ways; each found as what it is."""
    count, lost = planted.missed(planted.planted())
    assert count >= 200
    assert [(case.person.name, case.text, case.place) for case in lost] == []


def test_where_nobody_is_nobody_is_found() -> None:
    count, wrong = planted.alarms(planted.innocent())
    assert count >= 1000
    assert [(case.person.name, case.text) for case in wrong] == []


def test_what_the_page_says_of_forms_that_are_not_found_is_true() -> None:
    """Were more of them found, the page would have to say so."""
    count, lost = planted.missed(planted.hard())
    assert len(lost) == count


@pytest.mark.parametrize("kind", ["structural", "functional"])
def test_the_real_visits_tell_nobody_and_what_is_planted_in_them_is_found(
    kind: str,
) -> None:
    """Where they are not at hand, generated ones of that shape."""
    count, found, people, alarms = planted.real(kind)
    if planted.is_real(kind):
        assert found == count
    assert people > 30
    assert alarms == 0


@pytest.mark.parametrize(
    ("person", "path"),
    [
        (NOBODY._replace(id="visit_a"), "study_1_visit_a/1.dcm"),
        (NOBODY._replace(id="VISIT-A"), "study_1_visit_a/1.dcm"),
        (NOBODY._replace(id="study_1_visit_a"), "study_1_visit_a/1.dcm"),
        (NOBODY._replace(name="Visit^A"), "study_1_visit_a/1.dcm"),
        (NOBODY._replace(name="study_1^visit_a"), "study_1_visit_a/visit_a.dcm"),
        (NOBODY._replace(accession="visit a"), "study_1_visit_a/1.dcm"),
    ],
)
def test_the_visits_own_ids_are_no_find(person: Person, path: str) -> None:
    assert not looked(person, path)
    assert looked(person, path, visit=Visit("other", "sub-02"))


def test_an_id_that_only_holds_a_name_does_not_hide_it() -> None:
    """As the letters of "anna" stand in "susanna_01"."""
    anna = NOBODY._replace(name="Anna^X")
    assert looked(anna, "anna/1.dcm", visit=Visit("susanna", "v1")).kinds == ("name",)


def test_paths_are_counted_by_image_and_tags_by_value() -> None:
    person = NOBODY._replace(name="Müller^Jürgen", birth_date="19620827")
    found = looked(
        person,
        *("a/mueller/1.dcm", "a/mueller/2.dcm", "a/19620827.dcm", "a/3.dcm"),
        tags=("t1", "t1 muller", "head JürgenMüller", "t2"),
    )
    assert found == Identifiers(3, 2, ("name", "birth-date"))


def test_a_folder_and_a_name_in_it_are_one_path_and_two_kinds() -> None:
    person = NOBODY._replace(name="Müller^Jürgen", birth_date="19620827")
    assert looked(person, "mueller/19620827.dcm") == Identifiers(
        1, 0, ("name", "birth-date")
    )


@pytest.mark.parametrize(
    "text",
    [
        *("max.dcm", "maximum.dcm", "4711.dcm", "IM_0042.dcm", "head.dcm", "test.dcm"),
        *("1.2.3.120827.55.dcm", "62.08.dcm", "19620828.dcm", "1119620827.dcm"),
    ],
)
def test_what_says_too_little_is_no_find(text: str) -> None:
    """Three letters, four digits, common words, a part of a longer number."""
    person = Person(LATIN, "Max^Head", id="4711", other_id="0042", accession="TEST")
    assert not looked(person, f"x/{text}")


def test_a_short_name_counts_alone_and_a_long_one_within_a_word() -> None:
    assert looked(NOBODY._replace(name="Berg^X"), "x/berg_t1.dcm")
    assert not looked(NOBODY._replace(name="Berg^X"), "x/bergen.dcm")
    assert looked(NOBODY._replace(name="Lindberg^X"), "x/hlindberg2.dcm")


def test_nothing_is_put_together_across_folders() -> None:
    kim = NOBODY._replace(name="Kim^Min")
    assert not looked(kim, "kim/min.dcm")
    assert looked(kim, "x/kim.min.dcm")


def test_values_of_any_image_are_looked_for_in_the_paths_of_all(tmp_path: Path) -> None:
    """Also before it: one image of somebody else's is enough."""
    watch = Watch(VISIT)
    members = [
        ("s/lindberg.dcm", image(Person(LATIN, "Doe^J"), "t1")),
        ("s/2.dcm", image(Person(LATIN, "Lindberg^K"), "t1")),
    ]
    write_tar(tmp_path / "a.tar", members)
    with (tmp_path / "a.tar").open("rb") as tar:
        index_stream(tar, io.BytesIO(), watch=watch)
    assert watch.found == Identifiers(1, 0, ("name",))


def test_a_sites_patterns_are_looked_for_in_paths_and_tags_as_they_are() -> None:
    patterns = (r"ICF-\d{4}", r"(?i)prob_[a-z]+")
    found = looked(
        NOBODY,
        *("x/ICF-1234.dcm", "x/icf-1234.dcm", "PROB_k/1.dcm", "PROB_k/2.dcm"),
        tags=("ICF-0001", "t1"),
        patterns=patterns,
    )
    assert found == Identifiers(3, 1, ("pattern",))


def test_more_values_than_are_compared_are_a_find_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Silence would say that everything was compared."""
    monkeypatch.setattr(values, "MOST", 3)
    watch = Watch(VISIT)
    for number in range(4):
        watch.values.add_raw(
            values.Personal(b"", b"", b"Name%d^A" % number, b"", b"", b"", b"")
        )
    watch.look({"s": {"1.dcm"}})
    assert watch.found.kinds == ("many",)


def test_after_a_look_no_value_is_kept() -> None:
    watch = Watch(VISIT)
    TagReader(watch.values).read(image(Person(LATIN, "Lindberg^K"), "t1"))
    assert watch.values.found
    watch.look({"s": {"1.dcm"}})
    assert not watch.values.found
    assert not watch.values.tags


def test_a_long_list_is_searched_in_parts_each_of_which_is_told() -> None:
    guard = CountingGuard()
    watch = Watch(VISIT)
    TagReader(watch.values).read(image(Person(LATIN, "Lindberg^K"), "t1"))
    names = {f"{number}.dcm" for number in range(12_000)} | {"lindberg.dcm"}
    watch.look({"s": names}, guard)
    assert watch.found.paths == 1
    assert guard.calls >= 3


def test_every_kind_has_a_case() -> None:
    """But for those that no header has."""
    kinds = {case.kind for case in planted.planted()}
    assert kinds == set(values.KINDS) - {values.PATTERN, values.MANY}
    assert {case.place for case in itertools.islice(planted.planted(), 9)} == {
        *("path", "tag", "folder"),
    }
    assert isinstance(next(planted.planted()), Case)
