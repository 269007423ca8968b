"""HTML as text."""

from __future__ import annotations

from icfqueue.reports.pages.markup import element, escape, facts, scrolled, table


def test_what_is_text_is_escaped_and_what_is_html_is_not() -> None:
    assert escape("<b>\"'&") == "&lt;b&gt;&quot;&#x27;&amp;"
    made = element("a", "<b>x</b>", {"href": 'x" onclick="y'})
    assert made == '<a href="x&quot; onclick=&quot;y"><b>x</b></a>'
    assert facts([("<n>", "<v>")]).count("&lt;") == 2


def test_a_table_names_its_rows_and_scrolls_by_keyboard() -> None:
    made = table("Label", ("visit", "images"), [("v1", "3")], numbers=("images",))
    assert '<th scope="row">v1</th><td class="number">3</td>' in made
    assert 'role="region" aria-label="Label" tabindex="0"' in made
    assert scrolled("x", "<l>").startswith('<div class="scroll"')
