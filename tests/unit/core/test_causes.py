"""The causes of failures: each is explained, and each that the code gives is known."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import icfqueue
from icfqueue.core import errors
from icfqueue.core.causes import CAUSES, Cause

PACKAGE = Path(icfqueue.__file__).parent


def given() -> set[str]:
    """Return every code that is given with an error, anywhere in the package."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "cause":
                found |= {
                    one.value
                    for one in ast.walk(node.value)
                    if isinstance(one, ast.Constant)
                    and isinstance(one.value, str)
                    # What a note says, of which another test holds that it is known.
                    and not isinstance(node.value, ast.Call)
                }
    return found


def below(cls: type[errors.StepError]) -> set[type[errors.StepError]]:
    """Return a class and all that derive from it."""
    return {cls}.union(*(below(child) for child in cls.__subclasses__()))


CLASSES = below(errors.StepError)


def test_every_cause_that_is_given_is_explained_and_none_is_explained_for_nothing() -> None:
    own = {cls.default_cause for cls in CLASSES}
    assert own | given() | {"unknown", "unreadable"} == CAUSES.keys()


@pytest.mark.parametrize(("code", "cause"), CAUSES.items())
def test_a_code_can_be_typed_and_its_words_fit_beside_it(code: str, cause: Cause) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code)
    assert len(code) <= 12
    assert 0 < len(cause.meaning) <= 45
    assert 0 < len(cause.remedy) <= 40


@pytest.mark.parametrize("cls", sorted(CLASSES, key=lambda cls: cls.__name__))
def test_the_place_decides_the_cause_and_else_the_class(
    cls: type[errors.StepError],
) -> None:
    assert cls("m").cause == cls("m").to_dict()["cause"] == cls.default_cause
    assert cls("m", cause="cut").cause == "cut"
