"""HTML as text: what comes from a file or a record becomes text, never markup."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence


def escape(text: str) -> str:
    """Return `text` as HTML shows it."""
    return html.escape(text)


def element(tag: str, content: str, attributes: Mapping[str, str]) -> str:
    """Return an element.

    Parameters
    ----------
    content
        HTML.
    attributes
        Their values are text.
    """
    given = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items())
    return f"<{tag}{given}>{content}</{tag}>"


def table(
    label: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Sequence[str] = (),
) -> str:
    """Return a table in a frame that scrolls sideways, by keyboard, too.

    Parameters
    ----------
    heads
        Texts.
    rows
        HTML of each cell; the first names the row.
    numbers
        Heads of the columns that have numbers.
    """
    right = ['class="number"' if head in numbers else "" for head in heads]
    top = "".join(
        f'<th scope="col" {side}>{escape(head)}</th>'
        for head, side in zip(heads, right, strict=True)
    )
    lines = []
    for first, *others in rows:
        cells = zip(others, right[1:], strict=True)
        inside = "".join(f"<td {side}>{cell}</td>" for cell, side in cells)
        lines.append(f'<tr><th scope="row">{first}</th>{inside}</tr>')
    body = f"<thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return scrolled(f"<table>{body}</table>", label)


def scrolled(content: str, label: str) -> str:
    """Return `content` in a frame that scrolls."""
    given = {"class": "scroll", "role": "region", "aria-label": label, "tabindex": "0"}
    return element("div", content, given)


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return names and values, both texts."""
    inside = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in pairs
    )
    return f'<dl class="facts">{inside}</dl>'
