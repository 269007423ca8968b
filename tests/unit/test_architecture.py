"""Rules for all sources at once: who may import what, and who may speak."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from icfqueue.core.steps import NAMES

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for package in ("icfqueue", "workers") for path in (ROOT / package).rglob("*.py")
)

EVERYTHING = sorted(
    path
    for folder in ("icfqueue", "workers", "tests", "benchmarks", "ops", "docs")
    for path in (ROOT / folder).rglob("*.py")
)

TERMINAL = {"click", "rich"}
"""What only the command line knows."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the dotted name of everything that is imported, at the top or in a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def printing(tree: ast.Module) -> list[int]:
    """Return the lines that call ``print``."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]


EXCEPTION = re.compile("type: *ignore|noqa", re.IGNORECASE)
REASONED = re.compile(
    r"type: ignore\[[a-z-]+(,[a-z-]+)*\]  # (?!noqa)\S"
    r"|noqa: [A-Z]+[0-9]+(, [A-Z]+[0-9]+)* - \S"
)


def without_reason(source: str) -> list[int]:
    """Return the lines that pass a check by and do not say why."""
    return [
        token.start[0]
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
        and len(EXCEPTION.findall(token.string)) > len([*REASONED.finditer(token.string)])
    ]


def modules_after(code: str) -> set[str]:
    """Return our modules that a fresh interpreter has after `code`, and all top ones."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules, sep='\\n')"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["record", "retry_policy"])
def test_the_record_of_a_visit_stands_on_the_ground_floor(module: str) -> None:
    """What a visit can become is decided without broker, git-annex or a file."""
    found = modules_after(f"import icfqueue.ledger.{module}")
    ours = {name for name in found if name.partition(".")[0] in {"icfqueue", "workers"}}
    allowed = (
        "icfqueue.core.",
        "icfqueue.ledger.record",
        "icfqueue.ledger.retry_policy",
        "icfqueue.ledger.stored.record_json",
    )
    others = ours - {
        "icfqueue",
        "icfqueue.core",
        "icfqueue.ledger",
        "icfqueue.ledger.stored",
    }
    assert f"icfqueue.ledger.{module}" in ours
    assert [name for name in sorted(others) if not name.startswith(allowed)] == []
    assert not {"redis", "celery", "datalad", "pydicom", "requests"} & found


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_only_the_command_line_knows_the_terminal(path: Path) -> None:
    """So that a program, a worker or a test can use all else."""
    name = name_of(path)
    if name.startswith("icfqueue/cli/"):
        return
    tree = tree_of(path)
    tops = {word.partition(".")[0] for word in imported(tree)}
    assert not tops & TERMINAL
    assert not any(f"{word}.".startswith("icfqueue.cli.") for word in imported(tree)) or (
        name == "icfqueue/__main__.py"
    )
    assert printing(tree) == []


@pytest.mark.parametrize("name", NAMES)
def test_no_step_knows_another(name: str) -> None:
    tree = tree_of(ROOT / "icfqueue" / "steps" / f"{name}.py")
    siblings = {f"icfqueue.steps.{other}" for other in NAMES if other != name}
    assert not siblings & set(imported(tree))
    # Nor what chooses among them.
    assert "icfqueue.steps.registry" not in set(imported(tree))


@pytest.mark.parametrize("name", ["job", "failures"])
def test_what_steps_share_knows_none_of_them(name: str) -> None:
    tree = tree_of(ROOT / "icfqueue" / "steps" / f"{name}.py")
    assert not {f"icfqueue.steps.{other}" for other in NAMES} & set(imported(tree))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_nobody_goes_round_the_ledger_to_its_server(path: Path) -> None:
    """``ledger.client`` is the affair of what keeps the ledger."""
    if name_of(path).startswith("icfqueue/ledger/"):
        return
    found = [
        node.lineno
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute)
        and node.attr == "client"
        and isinstance(node.value, ast.Attribute | ast.Name)
        and (node.value.attr if isinstance(node.value, ast.Attribute) else node.value.id)
        in {"ledger", "quick"}
    ]
    assert found == []


def test_a_package_holds_its_docstring_and_nothing_else() -> None:
    """Re-exports would import what a quick command does not need."""
    for path in SOURCES:
        if path.name != "__init__.py" or path.parent.name in {"icfqueue", "workers"}:
            continue
        (docstring,) = tree_of(path).body
        assert isinstance(docstring, ast.Expr), name_of(path)
        assert isinstance(docstring.value, ast.Constant), name_of(path)


LONGEST_MODULE, LONGEST_FUNCTION = 400, 50


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_modules_and_functions_can_be_read_at_one_go(path: Path) -> None:
    """Lines of a function are those after its docstring."""
    assert path.read_text().count("\n") < LONGEST_MODULE
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            first = body[0].lineno if body else node.lineno
            assert (node.end_lineno or first) - first < LONGEST_FUNCTION, node.name


MOST_MODULES = 9


def test_a_package_can_be_seen_at_a_glance() -> None:
    """The commands are exempt: each is found by the name that is typed."""
    packages = {path.parent for path in SOURCES} - {ROOT / "icfqueue/cli/commands"}
    for package in packages:
        modules = [one for one in package.glob("*.py") if not one.name.startswith("__")]
        assert len(modules) <= MOST_MODULES, name_of(package)


def test_what_passes_a_check_by_says_why() -> None:
    found = {name_of(path): without_reason(path.read_text()) for path in EVERYTHING}
    assert len(found) > len(SOURCES)
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("comment", "reasoned"),
    [
        ("# type: ignore[misc]  # Celery is untyped", True),
        ("# type: ignore[arg-type,misc]  # what is used of it", True),
        ("# noqa: BLE001 - every one is a finding", True),
        ("# noqa: ARG001, ARG002 - the interface", True),
        ("# type: ignore[misc]  # untyped  # noqa: S101 - checked", True),
        ("# about something else", True),
        ("# type: ignore", False),
        ("# type: ignore  # all of it", False),
        ("# type: ignore[misc]", False),
        ("# noqa", False),
        ("# noqa: BLE001", False),
        ("# noqa: BLE001 every one is a finding", False),
        ("# type: ignore[misc] # untyped", False),
        ("# type: ignore[misc]  # noqa: S101 - checked", False),
    ],
)
def test_a_reason_is_one_that_stands_behind_what_it_is_for(
    comment: str, reasoned: bool
) -> None:
    assert without_reason(f"x = 1\ny = 2  {comment}\n") == ([] if reasoned else [2])
