"""A site's own regular expressions, by an engine whose time grows with the text alone.

Python's own can take hours over one path (``(a+)+$``). DuckDB, which the catalog needs
anyway, brings RE2: no expression that it takes does that, and those that could (references
back, looks around) it refuses when settings are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

Looking = Annotated[
    Literal["off", "warn", "hold"],
    Meta(
        description="Visits whose member paths or published tags tell who a person is are "
        "flagged (`warn`) or fail before anything appears (`hold`)."
    ),
]
Expressions = Annotated[
    list[str],
    Meta(description="Regular expressions (RE2) of what tells that at this site, too."),
]

MOST: Final = 50
"""Expressions that a site may have."""

LONGEST: Final = 500
"""Letters of the longest."""


def fault_of(patterns: Sequence[str]) -> str:
    """Return what is wrong with a site's expressions, without showing them; empty: nothing.

    They are compiled only if there are any: that takes 0.3 s.
    """
    if len(patterns) > MOST:
        return f"must not have more than {MOST} expressions"
    for number, pattern in enumerate(patterns, start=1):
        if not pattern or len(pattern) > LONGEST:
            return f"expression {number} must have 1 to {LONGEST} letters"
        try:
            empty = bool(Patterns([pattern]).found_in([""]))
        except ValueError:
            return f"expression {number} is none of RE2 (no looks around, no references)"
        if empty:
            return f"expression {number} is found in every text"
    try:
        Patterns(patterns).found_in([""])
    except ValueError:
        return "the expressions are too long together"
    return ""


class Patterns:
    """The expressions of a site, together as one.

    Parameters
    ----------
    patterns
        At least one.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        import duckdb

        self._whole = "|".join(f"(?:{pattern})" for pattern in patterns)
        self._error = duckdb.Error
        self._engine: Any = duckdb.connect(config={"threads": 1})

    def found_in(self, texts: Sequence[str]) -> set[int]:
        """Return the numbers of those of `texts` in which any of the expressions is found.

        Raises
        ------
        ValueError
            RE2 does not take them.
        """
        try:
            found = self._engine.execute(
                "SELECT number FROM (SELECT unnest($1) AS text, "
                "generate_subscripts($1, 1) AS number) WHERE regexp_matches(text, $2)",
                [list(texts), self._whole],
            ).fetchall()
        except self._error:
            # Its words have the expression.
            raise ValueError("the expressions cannot be used") from None
        return {number - 1 for (number,) in found}
