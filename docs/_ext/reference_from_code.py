"""The reference, made of the code when the pages are built.

========================= ==========================================================
directive                 what it stands for
========================= ==========================================================
``{command-list}``        every command: usage, help, options
``{settings-table}``      every field of ``Settings``: name, variable, values, default
``{cause-table}``         every cause of failures, and which errors have it
``{error-list}``          every class of errors, its remedy, and what is said where
``{step-table}``          the steps in order, with their queues
``{file-table}``          what the files of a visit are called
``{record-fields} NAME``  the fields of a class of records
``{state-table}``         the states of a visit
``{schema-table} FILE``   the object that a JSON schema describes, or one of its ``$defs``
========================= ==========================================================
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import pkgutil
import re
import sys
import types
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import click
import msgspec
from markdown_tables import MarkdownDirective, attributes, plain, summary, table
from msgspec import Meta

import icfqueue
from icfqueue.cli.group import cli
from icfqueue.core import errors, steps
from icfqueue.core.causes import CAUSES
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.steps import registry

PACKAGE = Path(icfqueue.__file__).parent
BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


class CommandList(MarkdownDirective):
    """Every command, in the order of the command line's own help."""

    def markdown(self) -> str:
        """Return a section for each command."""
        context = click.Context(cli, info_name="icfqueue")
        parts = [_command(cli, context, "(command-icfqueue)=\n## icfqueue")]
        for name in cli.list_commands(context):
            command = cli.get_command(context, name)
            if command is None:
                raise self.error(f"there is no command {name}")
            inner = click.Context(command, info_name=name, parent=context)
            parts.append(_command(command, inner, f"(command-{name})=\n## {name}"))
        return "\n\n".join(parts)


def _command(command: click.Command, context: click.Context, head: str) -> str:
    """Return what the help of a command says."""
    usage = command.get_usage(context).removeprefix("Usage: ")
    rows = []
    for option in command.params:
        said = option.get_help_record(context) if isinstance(option, click.Option) else None
        if said:
            # Line breaks are the terminal's; the default stands in brackets at the end.
            rows.append([_code(" ".join(said[0].split())), _escaped(said[1])])
    text = f"{inspect.cleandoc(command.help or '')}\n\n{command.epilog or ''}".strip()
    paragraphs = [
        f"```text\n{part.removeprefix(chr(8)).strip(chr(10))}\n```"
        if part.startswith("\b")
        else _escaped(part)
        for part in text.split("\n\n")
    ]
    return "\n\n".join(
        [head, *paragraphs, f"```text\n{usage}\n```", table(["option", "meaning"], rows)]
    )


def _escaped(text: str) -> str:
    return re.sub(r"([*_<>\[\]])", r"\\\1", text)


class SettingsTable(MarkdownDirective):
    """Every setting."""

    def markdown(self) -> str:
        """Return the table, in the order of the class."""
        hints = get_type_hints(Settings, include_extras=True)
        rows = []
        for field in msgspec.structs.fields(Settings):
            variable = f"ICFQUEUE_{field.name.upper()}"
            kind, meaning = _values(hints[field.name])
            names = f"`{field.name}`<br>`{variable}`"
            rows.append([names, kind, _default(field), meaning])
        return table(["setting and variable", "value", "default", "meaning"], rows)


def _values(hint: Any) -> tuple[str, str]:
    """Return in words what a type allows, and its description."""
    metas: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *found = get_args(hint)
        metas = tuple(meta for meta in found if isinstance(meta, Meta))
    words = [_kind(hint)]
    for meta in metas:
        bounds = {name: getattr(meta, name) for name in BOUNDS}
        words += [f"{BOUNDS[name]} {at:g}" for name, at in bounds.items() if at is not None]
        if meta.pattern:
            words.append(f"like `{meta.pattern}`")
    described = " ".join(meta.description for meta in metas if meta.description)
    return ", ".join(words), described


def _kind(hint: Any) -> str:
    if get_origin(hint) in {Union, types.UnionType}:
        return " or ".join(_kind(one) for one in get_args(hint) if one is not type(None))
    if get_origin(hint) is dict:
        return f"table of step to {_values(get_args(hint)[1])[0]}"
    if get_origin(hint) is list:
        return f"list of {_kind(get_args(hint)[0])}"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    named = {"Path": "path", "Secret": "text, never shown"}
    return names.get(hint) or named.get(hint.__name__, hint.__name__)


def _default(field: Any) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        made = field.default_factory()
        if not made:
            return "none"
        return ", ".join(f"`{name}` {value:g}" for name, value in made.items())
    value = field.default
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, Path):
        return "the current folder" if value == Path() else f"`{value}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


class Place(NamedTuple):
    """Where an error is made: what it says and what it tells to do."""

    message: str
    hint: str | None
    cause: str


class CauseTable(MarkdownDirective):
    """Every cause of failures, with the classes that have it."""

    def markdown(self) -> str:
        """Return code, meaning, remedy and errors of each cause."""
        _import_all()
        having: dict[str, set[str]] = defaultdict(set)
        for name, places in _places().items():
            for place in places:
                having[place.cause].add(name)
        for cls, _ in _below(errors.StepError, 0):
            if cls.__subclasses__() == []:
                having[cls.default_cause].add(cls.__name__)
        rows = [
            [
                f"`{code}`",
                cause.meaning,
                _code(cause.remedy) if "icfqueue" in cause.remedy else cause.remedy,
                ", ".join(
                    f"[{name}](#error-{name.lower()})" for name in sorted(having[code])
                ),
            ]
            for code, cause in CAUSES.items()
        ]
        return table(["cause", "what is wrong", "what to do", "errors"], rows)


class ErrorList(MarkdownDirective):
    """Every class of errors, in the order of the tree."""

    def markdown(self) -> str:
        """Return a section for each class."""
        _import_all()
        return "\n\n".join(
            self._section(cls, depth) for cls, depth in _below(errors.IcfqueueError, 0)
        )

    def _section(self, cls: type[errors.IcfqueueError], depth: int) -> str:
        lines = [f"(error-{cls.__name__.lower()})=", f"## {cls.__name__}", ""]
        lines += [summary(cls.__doc__), ""]
        facts = []
        if depth:
            above = cls.__bases__[0].__name__
            facts.append(["is a", f"[{above}](#error-{above.lower()})"])
        if issubclass(cls, errors.StepError) and cls is not errors.StepError:
            again = "transient: the step is tried again later"
            facts.append(
                ["kind", again if cls.kind == "transient" else "permanent: the visit fails"]
            )
        if not issubclass(cls, errors.StepError | errors.Withdrawn):
            facts.append(["exit code", str(cls.exit_code)])
        if cls.default_hint:
            facts.append(["remedy", _code(cls.default_hint)])
        if facts:
            lines += [table(["", ""], facts), ""]
        said = [
            [_code(place.message), _code(place.hint or ""), _code(place.cause)]
            for place in _places()[cls.__name__]
        ]
        if said:
            lines += [table(["what is said", "what to do", "cause"], said)]
        return "\n".join(lines)


def _code(text: str) -> str:
    """Return `text` so that nothing in it is Markdown."""
    text = text.replace("`", "'")
    return f"`{text}`" if text else ""


@cache
def _import_all() -> None:
    """Import every module, so that every class of errors is known."""
    for found in pkgutil.walk_packages([str(PACKAGE)], "icfqueue."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)


def _below(
    cls: type[errors.IcfqueueError], depth: int
) -> Iterator[tuple[type[errors.IcfqueueError], int]]:
    yield cls, depth
    for child in cls.__subclasses__():
        yield from _below(child, depth + 1)


@cache
def _places() -> dict[str, list[Place]]:
    """Return where each class is made with words that are known beforehand."""
    found: dict[str, list[Place]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        texts = _constants(tree)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            cls = getattr(errors, name, None)
            message = _text(node.args[0], texts)
            if not isinstance(cls, type) or not message.strip("… :"):
                continue
            hints = [key.value for key in node.keywords if key.arg == "hint"]
            hint = _text(hints[0], texts) if hints else cls.default_hint
            causes = [key.value for key in node.keywords if key.arg == "cause"]
            cause = _text(causes[0], texts) if causes else getattr(cls, "default_cause", "")
            place = Place(message, hint, cause)
            if place not in found[name]:
                found[name].append(place)
    return found


def _constants(tree: ast.Module) -> dict[str, str]:
    """Return the texts that have a name in a module, its own and those it imports."""
    imported = {
        alias.asname or alias.name: getattr(sys.modules.get(node.module), alias.name, None)
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    return {name: text for name, text in imported.items() if isinstance(text, str)} | {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value.value, str)
    }


def _text(node: ast.expr, constants: dict[str, str]) -> str:
    """Return a text as it stands in the code, with … for what is only known later."""
    match node:
        case ast.Constant(value):
            text = str(value)
        case ast.JoinedStr(values):
            text = "".join(_text(part, constants) for part in values)
        case ast.FormattedValue(ast.Name(name)) | ast.Name(name):
            text = constants.get(name, "…")
        case ast.BinOp(left, ast.Add(), right):
            text = _text(left, constants) + _text(right, constants)
        case ast.IfExp(_, body, orelse):
            text = f"{_text(body, constants)} / {_text(orelse, constants)}"
        case _:
            text = "…"
    return text


class StepTable(MarkdownDirective):
    """The steps."""

    def markdown(self) -> str:
        """Return the steps in order: name, queue, and what their modules say they do."""
        rows = []
        for step in steps.STEPS:
            module = registry.module_of(step.name)
            rows.append(
                [
                    f"`{step.name}`",
                    f"`{step.queue}`",
                    re.sub(r"^Step `\w+`: ", "", summary(module.__doc__).split("\n\n")[0]),
                ]
            )
        return table(["step", "queue", "does"], rows)


class FileTable(MarkdownDirective):
    """What the files of a visit are called."""

    def markdown(self) -> str:
        """Return the names as :class:`Visit` makes them."""
        visit = Visit("PROJECT", "VISIT")
        meanings = {
            "tarball": "the tarball, an uncompressed tar",
            "md5sum": "its MD5 as the archive publishes it; may be absent",
            "metadata_tarball": "size and MD5 of the tarball; vouches for both JSON files",
            "metadata_dicoms": "path, size, MD5 and tags of each DICOM file",
            "metadata_references": "place of each DICOM file in the tarball; if wished",
            "repo_export": "the dataset: a bare Git repository in a zip",
            "refs": "its branches; vouches for the deposit",
        }
        rows = [
            [f"`{visit.project}/{getattr(visit, name)}`", meaning]
            for name, meaning in meanings.items()
        ]
        return table(["file", "holds"], rows)


class RecordFields(MarkdownDirective):
    """The fields of a class that the ledger keeps."""

    required_arguments = 1

    def markdown(self) -> str:
        """Return name, type and meaning of each field."""
        cls = _classes()[self.arguments[0]]
        said = attributes(cls.__doc__)
        rows = []
        for field in dataclasses.fields(cls):
            if field.name not in said:
                raise self.error(f"{cls.__name__}.{field.name} is not described")
            kind = str(field.type).replace("|", "or").replace("None", "null")
            rows.append([f"`{field.name}`", _code(kind), said[field.name]])
        return table(["field", "type", "meaning"], rows)


def _classes() -> dict[str, type[Any]]:
    """Return the record and what it is made of, wherever these classes lie."""
    hints = get_type_hints(record.Record)
    return {
        "Record": record.Record,
        "StepRecord": record.StepRecord,
        "Options": hints["options"],
        "Identifiers": get_args(hints["identifiers"])[0],
    }


class StateTable(MarkdownDirective):
    """The states of a visit, as the code describes them."""

    def markdown(self) -> str:
        """Return each state with the text below it in the code."""
        tree = ast.parse(Path(record.__file__).read_text())
        body = next(
            node.body
            for node in tree.body
            if isinstance(node, ast.ClassDef) and node.name == "State"
        )
        rows = []
        for line, text in pairwise(body):
            if isinstance(line, ast.Assign) and isinstance(text, ast.Expr):
                state = ast.literal_eval(line.value)
                rows.append([f"`{state}`", plain(ast.literal_eval(text.value))])
        return table(["state", "meaning"], rows)


class SchemaTable(MarkdownDirective):
    """The object that a JSON schema describes, or one of those that it is made of."""

    required_arguments = 1

    def markdown(self) -> str:
        """Return the table of its fields."""
        file, name = [*self.arguments, ""][:2]
        path = Path(self.env.srcdir, Path(self.env.docname).parent, file)
        self.env.note_dependency(str(path))
        schema = json.loads(path.read_text())
        inner = schema["$defs"][name] if name else schema
        page = Path(self.env.doc2path(self.env.docname)).read_text()
        for other in schema["$defs"]:
            if f"{file} {other}\n" not in page:
                raise self.error(f"{other} of {file} is not on this page")
        return f"{inner.get('description', '')}\n\n{_object(inner)}"


def _object(schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = []
    for name, inner in _fields(schema):
        kind = _json_type(inner)
        if name.partition(".")[0] not in required:
            kind += "; may be absent"
        rows.append([f"`{name}`", kind, inner.get("description", "")])
    return table(["field", "value", "meaning"], rows)


def _fields(
    schema: dict[str, Any], above: str = ""
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, inner in schema.get("properties", {}).items():
        yield f"{above}{name}", inner
        yield from _fields(inner, f"{above}{name}.")


def _json_type(inner: dict[str, Any]) -> str:
    if "$ref" in inner:
        return inner["$ref"].rpartition("/")[2]
    if "enum" in inner:
        return ", ".join("null" if one is None else f"`{one}`" for one in inner["enum"])
    if "anyOf" in inner or "oneOf" in inner:
        return " or ".join(
            dict.fromkeys(_json_type(one) for one in inner.get("anyOf", inner.get("oneOf")))
        )
    kinds = inner.get("type", "anything")
    text = " or ".join(kinds) if isinstance(kinds, list) else kinds
    if "prefixItems" in inner:
        kinds = {_json_type(one) for one in inner["prefixItems"]}
        return f"array of {len(inner['prefixItems'])} {' or '.join(sorted(kinds))}"
    if "items" in inner:
        text += f" of {_json_type(inner['items'])}"
    if "minimum" in inner:
        text += f", at least {inner['minimum']}"
    return text


def setup(app: Any) -> dict[str, bool]:
    """Make the directives known to Sphinx."""
    for name, directive in {
        "settings-table": SettingsTable,
        "cause-table": CauseTable,
        "error-list": ErrorList,
        "step-table": StepTable,
        "file-table": FileTable,
        "record-fields": RecordFields,
        "state-table": StateTable,
        "schema-table": SchemaTable,
        "command-list": CommandList,
    }.items():
        app.add_directive(name, directive)
    return {"parallel_read_safe": True}
