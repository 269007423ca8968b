"""The words on an expression: ours, with the columns that there are and an example."""

from __future__ import annotations

import shlex

import duckdb
import pytest

from icfqueue.catalog.series_file import COLUMNS
from icfqueue.core.errors import UsageError
from icfqueue.reports.expression import EXAMPLE, check_words, complaint


def said_of(expression: str) -> UsageError:
    """Return what is said of an expression over a row of text and number."""
    with duckdb.connect() as duck:
        rows = duck.sql("SELECT 'bold' AS ProtocolName, 3::BIGINT AS images")
        with pytest.raises(duckdb.Error) as caught:
            rows.filter(expression).fetchall()
    return complaint(caught.value)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("image > 1", "there is no column image; is it images?"),
        ("protocol_name = 'x'", "there is no column protocol_name; is it ProtocolName?"),
        (
            'ProtocolName = "bold"',
            "there is no column bold; text stands in single quotes, 'bold'",
        ),
        ("s.images > 1", "there is no table 's'"),
        ("ProtocolName ILIKE %t1w%", "it cannot be understood at '%'"),
        ("ProtocolName = 'bold", "a quote in it is not closed, or empty"),
        ("images > 1 ORDER BY images", "it must be one condition"),
        ("images > 1; DROP TABLE x", "it must be one condition"),
        ("(" * 2000 + "true" + ")" * 2000, "it is nested too deeply"),
        ("ProtocolName > 5", "text and number do not go together: SeriesNumber, images"),
        ("CAST(ProtocolName AS INT) > 5", "text and number do not go together"),
        ("frobnicate(images)", "there is no function 'frobnicate'"),
        ("images > (SELECT 1 FROM elsewhere)", "there is no table 'elsewhere'"),
        ("count(*) > 3", "it is asked of each series by itself"),
        ("row_number() OVER () = 1", "it is asked of each series by itself"),
        ("images > ?", "'?' and '$' stand for no value"),
        ("regexp_matches(ProtocolName, '(')", "a pattern in it cannot be used"),
    ],
)
def test_a_complaint_of_duckdb_is_told_in_our_words(expression: str, words: str) -> None:
    message = said_of(expression).message
    assert message.startswith(f"the expression cannot be used: {words}")


def test_no_value_of_a_table_is_repeated() -> None:
    assert "bold" not in said_of("ProtocolName").message


def test_what_nobody_foresaw_is_told_in_duckdbs_words() -> None:
    assert said_of("error('boo')").message.endswith("DuckDB says boo")


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "it is empty"),
        (" \t", "it is empty"),
        ("ProtocolName = '\udcff'", "no UTF-8"),
        ("select * from series", "leave out SELECT"),
        ("WHERE images > 1", "leave out WHERE"),
    ],
)
def test_what_can_be_no_expression_is_refused_without_asking(
    expression: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        check_words(expression)


def test_the_hint_has_all_columns_and_a_command_that_works_when_it_is_pasted() -> None:
    with pytest.raises(UsageError) as caught:
        check_words("")
    hint = caught.value.hint
    assert all(name in hint for name in COLUMNS)
    assert shlex.split(hint.split("`")[1]) == ["icfqueue", "find", EXAMPLE]
    check_words(EXAMPLE)
