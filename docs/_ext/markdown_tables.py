"""What the extensions share: Markdown made of the code, parsed as if written."""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective


class MarkdownDirective(SphinxDirective, ABC):
    """A directive that stands for the Markdown of :meth:`markdown`."""

    has_content = False
    optional_arguments = 1

    @abstractmethod
    def markdown(self) -> str:
        """Return what is put in the directive's place."""

    def run(self) -> list[nodes.Node]:
        """Return the parsed Markdown, headings included."""
        text = self.markdown()
        made = nodes.container()
        made.document = self.state.document
        lines = StringList(text.splitlines(), source=self.get_source_info()[0])
        self.state.nested_parse(lines, self.content_offset, made, match_titles=True)
        return made.children


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; cells are Markdown themselves."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def plain(docstring: str | None) -> str:
    """Return a docstring's text as Markdown: its roles and literals as code."""
    text = inspect.cleandoc(docstring or "")
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text)
    return text.replace("``", "`")


def summary(docstring: str | None) -> str:
    """Return what stands before the first section of a numpy docstring."""
    return re.split(r"\n\w[\w ]*\n-{3,}\n", plain(docstring))[0].strip()


def attributes(docstring: str | None) -> dict[str, str]:
    """Return name and meaning of each entry of a numpy docstring's ``Attributes``."""
    found: dict[str, str] = {}
    section = re.search(
        r"(?:^|\n)Attributes\n-{3,}\n(.*?)(?=\n\n\w[\w ]*\n-{3,}|\Z)",
        plain(docstring),
        re.DOTALL,
    )
    names: list[str] = []
    for line in section[1].splitlines() if section else []:
        if line[:1].strip():
            names = [name.strip() for name in line.partition(":")[0].split(",")]
        else:
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return found
