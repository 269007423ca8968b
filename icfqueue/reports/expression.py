"""What is wrong with an expression of ``icfqueue find``, in words of ours.

DuckDB's own words speak of clauses, bindings and settings that nobody here has seen, and
may repeat a value out of a table.
"""

from __future__ import annotations

import difflib
import re

from icfqueue.catalog.series_file import COLUMNS
from icfqueue.core.errors import UsageError
from icfqueue.core.plain_text import shown

EXAMPLE = "ProtocolName ILIKE '%t1w%' AND images > 100"
"""An expression that can be used."""

MOST_WORDS = 60
"""Characters that are shown of a word of the expression."""

OTHER_NAMES = {
    "series_number": "SeriesNumber",
    "series_description": "SeriesDescription",
    "protocol": "ProtocolName",
    "mr_acquisition_type": "MRAcquisitionType",
    "pulse_sequence_name": "PulseSequenceName",
}
"""What columns are called by ``icfqueue series``; an expression may use both."""

_NUMBERS = ", ".join(name for name, kind in COLUMNS.items() if kind == "BIGINT")
_ONE = "it must be one condition: without ';', ORDER BY, LIMIT or UNION"
_KINDS = (
    f"text and number do not go together: {_NUMBERS} are numbers, all other columns text"
)

_MEANINGS = (
    (r"syntax error at (?:or near \"(.+)\"|end)", "it cannot be understood at {}"),
    (r"modifiers in the expression", _ONE),
    (r"unterminated|zero-length delimited", "a quote in it is not closed, or empty"),
    (r"selection list", "it is empty"),
    (r"expression depth|[Ss]tack overflow|memory exhausted", "it is nested too deeply"),
    (r"[Oo]ut of [Mm]emory|allocate", "it takes too much memory"),
    (r"disabled|locked|not in the catalog", "it may not read files, settings or a network"),
    (r"Function with name \"?([^\s\"]+)\"? does not exist", "there is no function {}"),
    (r"Table with name (.+?) does not exist", "there is no table {} in it to ask"),
    (r"prepared parameter", "'?' and '$' stand for no value here"),
    (
        r"aggregates|window functions|STAR expression|UNNEST",
        "it is asked of each series by itself: without count, sum or '*'",
    ),
    (r"Could not convert|Cannot compare|Conversion|explicit (?:type )?cast", _KINDS),
    (r"No function matches", _KINDS),
    (r"missing|repetition|escape|regular expression", "a pattern in it cannot be used"),
)
"""What is in DuckDB's complaints, and what that means; the first that fits holds."""


def check_words(expression: str) -> None:
    """Raise if `expression` can be none, whatever DuckDB would say.

    Raises
    ------
    UsageError
        It is empty, a whole query, or no text.
    """
    words = expression.split(None, 1)
    if not words:
        raise refused("it is empty")
    try:
        expression.encode()
    except UnicodeEncodeError:
        raise refused("it has bytes that are no UTF-8 text") from None
    if words[0].upper() in {"SELECT", "WHERE"}:
        raise refused(f"leave out {words[0].upper()}: it is what stands behind WHERE")


def refused(what: str) -> UsageError:
    """Return the error that says `what` is wrong, which columns there are, and how."""
    return UsageError(
        f"the expression cannot be used: {what}",
        hint=f'for example `icfqueue find "{EXAMPLE}"`; the columns are '
        f"{', '.join(COLUMNS)}",
    )


def complaint(error: Exception) -> UsageError:
    """Return what DuckDB's `error` on an expression means."""
    said = str(error).split("\n\n")[0]
    if column := re.search(r"Referenced column \"(.+?)\" (?:was )?not found", said):
        return refused(_no_column(column[1]))
    if table := re.search(r"Referenced table \"(.+?)\" not found", said):
        return refused(f"there is no table {_quoted(table[1])}")
    for pattern, meaning in _MEANINGS:
        if found := re.search(pattern, said):
            word = found[1] if found.groups() else None
            return refused(meaning.format(_quoted(word) if word else "its end"))
    # Nobody foresaw it; these words are better than none.
    return refused(f"DuckDB says {shown(said.partition(': ')[2] or said, 160)}")


def _no_column(name: str) -> str:
    known = {one.lower(): one for one in (*COLUMNS, *OTHER_NAMES)}
    near = difflib.get_close_matches(name.lower(), known, 1, cutoff=0.75)
    text = f"text stands in single quotes, '{shown(name, MOST_WORDS)}'"
    guess = f"is it {known[near[0]]}?" if near else text
    return f"there is no column {shown(name, MOST_WORDS)}; {guess}"


def _quoted(word: str) -> str:
    return f"'{shown(word, MOST_WORDS)}'"
