"""Every module has a file of unit tests of its name, and every such file a module."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

EXCEPT = {"__init__.py", "__main__.py"}
"""Hold a docstring, or one call."""

OF_NO_MODULE = {Path("test_mirror.py"), Path("test_architecture.py")}
"""Speak of all modules at once."""


def expected() -> set[Path]:
    """Return where the tests of each module belong, below this folder.

    The first package is left out of ``icfqueue``'s paths, and is that of the workers.
    """
    found = set()
    for package in ("icfqueue", "workers"):
        top = ROOT / package
        for path in top.rglob("*.py"):
            if path.name in EXCEPT:
                continue
            place = path.relative_to(ROOT if package == "workers" else top)
            found.add(place.with_name(f"test_{path.name}"))
    return found


def present() -> set[Path]:
    return {path.relative_to(HERE) for path in HERE.rglob("test_*.py")} - OF_NO_MODULE


def test_every_module_has_its_tests_in_the_file_of_its_name() -> None:
    missing = sorted(str(path) for path in expected() - present())
    assert not missing, f"modules without tests/unit/{missing}"


def test_every_file_of_tests_has_its_module() -> None:
    stray = sorted(str(path) for path in present() - expected())
    assert not stray, f"tests of no module: {stray}"


def test_every_file_of_tests_has_a_test_and_says_what_it_is_about() -> None:
    for path in HERE.rglob("test_*.py"):
        text = path.read_text()
        assert "\ndef test_" in text, path
        assert text.startswith('"""'), path
