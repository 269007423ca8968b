"""Commands as the documentation shows them: found, run, and their output compared.

A fenced block is marked by what stands behind its fence:

``console``
    Lines with ``$ `` are commands (``> `` goes on with the one before), the lines below
    each are all that it prints. The blocks of a page are one session, in order. ``…``
    stands for anything in a line; in a line of its own for any lines.
``console exit=1``
    The last command ends with this exit code, the others with 0.
``console stays="ready"``
    Its one command says `ready` and goes on until the session ends; then SIGTERM ends it
    with 0.
``console not-run="why"``
    It cannot be run here, and this is why.
``text``, ``toml``, ``json``, ``ini``, ``{…}``
    No commands.

What changes from run to run is not compared: seconds, ports, process ids and the widths of
tables.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from support.waiting import wait_until

FENCE = re.compile(r"^( *)(`{3,}|:{3,})(.*)$")
LANGUAGES = {"console", "text", "toml", "json", "ini", "python", "yaml"}


@dataclass
class Command:
    """One command of a block, and the lines that it is said to print."""

    text: str
    line: int
    printed: list[str] = field(default_factory=list)


@dataclass
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    marks: dict[str, str]
    lines: list[str]

    @property
    def where(self) -> str:
        return f"{self.page.name}:{self.line}"

    def commands(self) -> list[Command]:
        """The commands of a ``console`` block."""
        found: list[Command] = []
        for number, line in enumerate(self.lines, self.line + 1):
            if line.startswith("$ "):
                found.append(Command(line[2:], number))
            elif line.startswith("> ") and found and not found[-1].printed:
                found[-1].text += f"\n{line[2:]}"
            else:
                assert found, f"{self.where}: a line before the first command"
                found[-1].printed.append(line)
        return found


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    lines = iter(enumerate(page.read_text().splitlines(), 1))
    for number, line in lines:
        fence = FENCE.match(line)
        if not fence:
            continue
        language, *marks = shlex.split(fence[3]) or [""]
        inside = []
        for _, text in lines:
            if text.strip() == fence[2]:
                break
            inside.append(text.removeprefix(fence[1]))
        pairs = (mark.partition("=") for mark in marks)
        yield Block(
            page, number, language, {name: value for name, _, value in pairs}, inside
        )


class Session:
    """A shell in which the commands of a page are run.

    Parameters
    ----------
    folder
        Where it begins.
    environment
        All of its environment.
    real
        What stands for the documented addresses and folders: documented to real.
    """

    MARK = "==end of command=="

    def __init__(
        self, folder: Path, environment: dict[str, str], real: dict[str, str]
    ) -> None:
        self.folder, self.real = folder, real
        self.stay: list[str] = []
        self.shell = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str) -> tuple[str, int]:
        """Run a documented command; return what it prints, as documented, and its code."""
        return self._run(f"{{ {self._to_real(command)}\n}} < /dev/null")

    def start(self, command: str, ready: str) -> None:
        """Start a command that stays, and wait until it says `ready`."""
        log = f"{self.folder}/stays-{len(self.stay)}.log"
        self._run(f"( exec {self._to_real(command)} ) < /dev/null > {log} 2>&1 &")
        number, _ = self._run("echo $!")
        self.stay.append(number.strip())
        wait_until(
            lambda: Path(log).exists() and ready in Path(log).read_text(),
            60,
            f"{command} says {ready}",
        )

    def close(self) -> dict[str, int]:
        """End what stayed, and the shell; return the exit codes of the former."""
        codes = {}
        for number in self.stay:
            _, gone = self._run(f"kill -TERM {number}")
            _, codes[number] = self._run(f"wait {number}")
            assert gone == 0, "it did not stay"
        assert self.shell.stdin
        self.shell.stdin.close()
        self.shell.wait(timeout=60)
        assert self.shell.stdout
        self.shell.stdout.close()
        return codes

    def _run(self, command: str) -> tuple[str, int]:
        assert self.shell.stdin
        assert self.shell.stdout
        self.shell.stdin.write(f"{command}\nprintf '\\n%s%s\\n' '{self.MARK}' \"$?\"\n")
        self.shell.stdin.flush()
        told = []
        for line in self.shell.stdout:
            if line.startswith(self.MARK):
                break
            told.append(line)
        else:
            raise AssertionError(f"the shell ended: {command}")
        text = "".join(told).removesuffix("\n")
        for documented, real in self.real.items():
            text = text.replace(real, documented)
        return text, int(line.removeprefix(self.MARK))

    def _to_real(self, command: str) -> str:
        for documented, real in self.real.items():
            command = command.replace(documented, real)
        return command


def plain(line: str) -> str:
    """Return a line without what differs from run to run."""
    line = re.sub(r"[━─]+", "─", line)
    line = re.sub(r"\b\d+(\.\d+)? s\b", "N s", line)
    line = re.sub(r"\b[\w.-]+:\d{2,}\b", "HOST:N", line)
    return " ".join(line.split())


def differs(printed: list[str], expected: list[str]) -> str:
    """Return what is wrong with the lines that a command printed; empty if nothing."""
    patterns = [
        r"(?:.*\n)*?" if line.strip() == "…" else f"{_pattern(line)}\n"
        for line in _without_end(expected)
    ]
    text = "".join(f"{plain(line)}\n" for line in _without_end(printed))
    if re.fullmatch("".join(patterns), text):
        return ""
    return "\n".join(["printed:", *printed, "instead of:", *expected])


def _pattern(line: str) -> str:
    return re.escape(plain(line)).replace("…", ".*")


def _without_end(lines: list[str]) -> list[str]:
    """Return `lines` without empty ones at the end."""
    return "\n".join(lines).rstrip().split("\n") if any(lines) else []
