"""The tree of errors: exit codes, kinds, and what survives a queue."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterator

import pytest

from icfqueue.core import errors
from icfqueue.core.errors import (
    BadTarball,
    IcfqueueError,
    PermanentError,
    PutOff,
    StepError,
    StoreBusy,
    TransientError,
    Unreachable,
    UsageError,
)


def _below(cls: type[IcfqueueError]) -> Iterator[type[IcfqueueError]]:
    yield cls
    for child in cls.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _below(child)


TREE = list(_below(IcfqueueError))


def made(cls: type[IcfqueueError], message: str, hint: str = "") -> IcfqueueError:
    """Return an error of any class of the tree with this message and hint."""
    if issubclass(cls, PutOff):
        return cls(StoreBusy(message, hint=hint), 5.0)
    return cls(message, hint=hint)


def fields(error: IcfqueueError) -> dict[str, object]:
    """Return the fields of an error; an error in one of them as its own fields."""
    return {
        name: (type(value), fields(value)) if isinstance(value, IcfqueueError) else value
        for name, value in vars(error).items()
    }


def drawn() -> dict[str, str]:
    """Return class to parent as the picture at the top of the module has them."""
    found: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        named = re.match(r"    ([│├└─ ]*)([A-Z]\w+)  +\S", line)
        if named is None:
            continue
        depth = len(named[1])
        while above and above[-1][0] >= depth:
            above.pop()
        found[named[2]] = above[-1][1] if above else "Exception"
        above.append((depth, named[2]))
    return found


def test_the_picture_of_the_tree_is_the_tree() -> None:
    """Every class is in it, below its parent; nothing else is."""
    assert drawn() == {cls.__name__: cls.__bases__[0].__name__ for cls in TREE}


@pytest.mark.parametrize("cls", TREE)
def test_every_error_survives_pickle_with_its_fields(cls: type[IcfqueueError]) -> None:
    error = made(cls, "tarball x is cut", "get it again")
    if isinstance(error, StepError):
        error.at(project="p", visit="v", step="fetch")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is cls
    assert str(back) == "tarball x is cut"
    assert fields(back) == fields(error)


@pytest.mark.parametrize("cls", TREE)
def test_the_class_decides_the_exit_code(cls: type[IcfqueueError]) -> None:
    expected = {UsageError: 2, Unreachable: 3}
    root = next((root for root in expected if issubclass(cls, root)), None)
    assert made(cls, "x").exit_code == (expected[root] if root else 1)


@pytest.mark.parametrize("cls", [cls for cls in TREE if issubclass(cls, StepError)])
def test_an_entry_of_the_record_is_json_and_has_exactly_the_documented_fields(
    cls: type[StepError],
) -> None:
    found = cls("m", hint="h").at(project="p", visit="v", step="fetch").to_dict()
    assert json.loads(json.dumps(found)) == {
        "step": "fetch",
        "kind": "transient" if issubclass(cls, TransientError) else "permanent",
        "type": cls.__name__,
        "cause": cls.default_cause,
        "message": "m",
        "hint": "h",
    }
    assert issubclass(cls, TransientError | PermanentError) or cls is StepError


def test_the_first_word_on_where_an_error_belongs_stands() -> None:
    error = BadTarball("x").at(project="p", visit="v", step="index_tar")
    assert error.at(project="q", visit="w", step="fetch").to_dict()["step"] == "index_tar"
    assert (error.project, error.visit) == ("p", "v")


def test_what_the_store_asked_to_wait_survives_pickle() -> None:
    assert pickle.loads(pickle.dumps(StoreBusy("x", retry_after=7.5))).retry_after == 7.5


# PutOff has the words of its cause.
@pytest.mark.parametrize("cls", [cls for cls in TREE if cls is not PutOff])
def test_a_hint_of_the_place_goes_before_that_of_the_class(
    cls: type[IcfqueueError],
) -> None:
    assert cls("m").hint == cls.default_hint
    assert cls("m", hint="here").hint == "here"
    assert cls("m", hint="").hint == ""


def test_a_class_says_how_its_errors_are_mended_only_where_that_is_one_thing() -> None:
    said = {cls.__name__ for cls in TREE if cls.default_hint}
    assert {"BadTarball", "AccessDenied", "DiskTrouble", "Unreachable"} <= said
    assert not {"IcfqueueError", "PermanentError", "TransientError", "UsageError"} & said
