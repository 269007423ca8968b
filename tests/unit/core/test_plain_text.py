"""What comes from outside steers no terminal and hides nothing in a log."""

from __future__ import annotations

import logging
import pickle

import pytest

from icfqueue.core.errors import BadTarball, IcfqueueError, StoreBusy
from icfqueue.core.plain_text import (
    MOST,
    escape_record,
    escaped,
    for_store,
    for_visit,
    shown,
    size,
)

EVERYTHING = "".join(chr(number) for number in range(0x110000))


def test_nothing_but_printable_characters_and_ends_of_lines_is_left() -> None:
    """All of Unicode: C0, C1, marks for writing direction, surrogates, private use."""
    left = escaped(EVERYTHING).replace("\n", "").replace("\t", "")
    assert left.isprintable()
    for harmless in "aä€日🎉 ~":
        assert escaped(harmless) == harmless


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b31m", r"\x9b31m"),
        ("a\u202egpj.exe", r"a\u202egpj.exe"),
        ("a\rb\x00", r"a\rb\x00"),
        ("\ud800", r"\ud800"),
        ("\U000e0001", r"\U000e0001"),
        ("two\nlines\tand more", "two\nlines\tand more"),
    ],
)
def test_what_is_not_printable_is_written_out(text: str, written: str) -> None:
    assert escaped(text) == written


def test_what_stands_in_a_message_is_one_short_line() -> None:
    assert shown("a\r\n b\tc \x1b") == r"a b c \x1b"
    for long in ("x" * 100_000, "\x1b" * 100_000, "\n" * 100_000 + "x"):
        assert len(shown(long)) <= MOST
        assert "\n" not in shown(long)
    assert shown("x" * (MOST + 1)).endswith("x…")
    assert shown("x" * MOST) == "x" * MOST


@pytest.mark.parametrize("kind", [IcfqueueError, BadTarball, StoreBusy])
def test_no_error_of_ours_has_a_control_character(kind: type[IcfqueueError]) -> None:
    """Wherever its words came from; also after it went through a pickle."""
    error = kind("member '\x1b[2J' is bad", hint="\x9bremove\u202e it")
    for found in (error, pickle.loads(pickle.dumps(error))):
        words = f"{found}{found!r}{found.args}{found.message}{found.hint}"
        assert words.isprintable()
        assert found.message == r"member '\x1b[2J' is bad"


def fail(words: str) -> None:
    raise ValueError(words)


def test_a_log_that_is_filtered_has_none_either(caplog: pytest.LogCaptureFixture) -> None:
    """In words, in arguments, in tracebacks; what is ours stays as it was."""
    log = logging.getLogger("icfqueue.test")
    caplog.handler.addFilter(escape_record)
    try:
        log.warning("header %r of %s: \x1b[2J %d %%", "\x1b", "\x9bstore\u202e", 7)
        try:
            fail("\x1b]0;owned\x07")
        except ValueError:
            log.exception("it \x1b failed")
    finally:
        caplog.handler.filters.clear()
    assert r"header '\x1b' of \x9bstore\u202e: \x1b[2J 7 %" in caplog.text
    assert r"ValueError: \x1b]0;owned\x07" in caplog.text
    assert caplog.text.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (40_960, "41.0 kB"),
        (999_949, "999.9 kB"),
        (999_999, "1.0 MB"),
        (1_500_000_000, "1.5 GB"),
        (2_000_000_000_000_000, "2000.0 TB"),
    ],
)
def test_sizes_have_one_unit_for_a_thousand(count: int, text: str) -> None:
    assert size(count) == text


def test_a_hint_is_about_the_visit_as_far_as_it_is_known() -> None:
    hint = "'icfqueue retry PROJECT VISIT'"
    assert for_visit(hint, "p", "v") == "'icfqueue retry p v'"
    assert for_visit(hint, "p") == "'icfqueue retry p VISIT'"
    assert for_visit(hint, "") == hint


def test_files_of_the_store_are_named_as_they_are_called_here_and_quoted() -> None:
    hint = "`gunzip STORE/p/v_dicom.tar.gz`, see STORE/p/v.json. not RESTORE/x, A/STORE/y"
    assert for_store(hint, "/my store") == (
        "`gunzip '/my store/p/v_dicom.tar.gz'`, see '/my store/p/v.json'. not RESTORE/x, "
        "A/STORE/y"
    )
    assert for_store("`cd STORE/p`", "/s") == "`cd /s/p`"
