"""``icfqueue completion``: real shells complete with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_line import Commands
from support.needs import program
from support.records import a_record

from icfqueue.ledger.record import State

BIN = Path(sys.executable).parent

BASH = """
source /dev/stdin <<< "$(icfqueue completion bash)"
complete() { :; }
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_icfqueue_completion icfqueue
printf '%s\\n' "${COMPREPLY[@]}"
"""
"""What bash does when the key is pressed; the words stand behind it."""

ZSH = """
compdef() { :; }
compadd() { print -rl -- $completions; }
_describe() { print -rl -- ${completions_with_descriptions%%:*}; }
source <(icfqueue completion zsh)
words=("$@") CURRENT=$#
_icfqueue_completion
"""
"""The functions of zsh's that offer words, which print them here."""

FISH = """
icfqueue completion fish | source
complete -C "$ICFQUEUE_TYPED"
"""


def complete(shell: str, icfqueue: Commands, *words: str) -> list[str]:
    """Return what a shell offers for the last of these words."""
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ICFQUEUE_STORE_DIR": str(icfqueue.store.root),
        "ICFQUEUE_BROKER_URL": icfqueue.where[3],
        # A busy machine is no broker that does not answer.
        "ICFQUEUE_COMPLETION_PATIENCE": "10",
        "ICFQUEUE_TYPED": " ".join(words),
    }
    arguments = {
        "bash": ["bash", "-c", BASH, "bash", *words],
        "zsh": ["zsh", "-f", "-c", ZSH, "zsh", *words],
        "fish": ["fish", "--no-config", "-c", FISH],
    }[shell]
    done = subprocess.run(
        arguments, env=environment, capture_output=True, text=True, check=True, timeout=30
    )
    assert not done.stderr
    # fish has what an item means behind a tabulator.
    return [line.partition("\t")[0] for line in done.stdout.splitlines()]


@pytest.fixture
def icfqueue(icfqueue: Commands) -> Commands:
    icfqueue.ledger.put_many([(None, a_record(state)) for state in State])
    return icfqueue


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_options_projects_visits_and_causes(
    icfqueue: Commands, shell: str
) -> None:
    program(shell, shell)
    for words, offered in (
        (["ret"], {"retry"}),
        (["retry", "--ca"], {"--cause"}),
        (["retry", "st"], {"study_1"}),
        (["retry", "study_1", "f"], {"failed"}),
        (["retry", "study_1", "--cause", "no-d"], {"no-dicom"}),
        (["completion", "b"], {"bash"}),
    ):
        assert set(complete(shell, icfqueue, "icfqueue", *words)) == offered, words
