"""The entry point: runs a command, and says in a line what went wrong."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from io import StringIO
from urllib.parse import urlsplit

from icfqueue.core.errors import IcfqueueError
from icfqueue.core.plain_text import for_visit
from icfqueue.core.processes.ending import exit_code

NO_READER = 141
"""Exit code when the reader of a pipe went away, as ``| head`` does: what shells say of
other tools, which SIGPIPE ends."""


def main() -> None:
    """Run the command line and end the process with its exit code."""
    # Imports make many objects and hardly any garbage: looking for it takes a tenth of
    # the start of a command.
    gc.set_threshold(50_000, 20, 20)
    _hide_password(sys.argv)
    _open_what_is_closed()
    from icfqueue.cli.group import NoReader, cli

    try:
        code = _ended(lambda: cli.main(standalone_mode=False))
        # What is still kept back is not to fail when Python ends.
        sys.stdout.flush()
    except (NoReader, BrokenPipeError):
        code = _without_reader()
    sys.exit(code or 0)


def _ended(command: Callable[[], int | None]) -> int | None:
    """Run `command`, say what went wrong with it, and return the exit code."""
    try:
        return command()
    except IcfqueueError as error:
        return complain(error)
    except KeyboardInterrupt as error:
        return exit_code(error)
    except Exception as error:
        # Those of redis and kombu have no name here: both are slow to import.
        foreign = _foreign(error)
        if foreign is None:
            raise
        return foreign


def _open_what_is_closed() -> None:
    """Open the null device in place of what the shell closed, as ``>&-`` does."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - until the process ends


def _without_reader() -> int:
    """Let nobody hear of what can be told to nobody; return the exit code."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
    return NO_READER


def complain(error: IcfqueueError) -> int:
    """Print what went wrong and what to do; return the exit code."""
    from icfqueue.cli.group import cli
    from icfqueue.cli.shell.again import whole
    from icfqueue.cli.shell.folding import say

    say(f"icfqueue: {error.message}", err=True, colour="red")
    if error.hint:
        hint = for_visit(error.hint, cli.project)
        say(whole(hint, cli.place, cli.store), 2, err=True)
    return error.exit_code


def _foreign(error: Exception) -> int | None:
    """Say what is wrong and return the exit code; None of an error nobody foresaw."""
    import click

    from icfqueue.cli.group import NoReader

    if isinstance(error, (NoReader, BrokenPipeError)):
        return None
    if isinstance(error, click.exceptions.Abort):
        # What click made of Ctrl-C.
        return exit_code(error.__cause__ or error.__context__)
    if isinstance(error, click.ClickException):
        from icfqueue.cli.shell.folding import say

        complaint = StringIO()
        error.show(file=complaint)
        say(complaint.getvalue().rstrip(), err=True)
        return error.exit_code
    made_by = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    if made_by & {"redis", "kombu"}:
        return complain(_of_broker(error))
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        said = error.strerror or str(error) or type(error).__name__
        return complain(IcfqueueError(f"{where}{said}", hint="try 'icfqueue doctor'"))
    return None


def _of_broker(error: Exception) -> IcfqueueError:
    """Return what to say of an error of redis or kombu."""
    from icfqueue.broker import refusals
    from icfqueue.core.errors import Unreachable
    from icfqueue.core.plain_text import shown
    from icfqueue.ledger.stored.spoilt import is_spoilt

    if is_spoilt(error):
        return Unreachable(
            f"a key of the broker is not what icfqueue writes there ({shown(error)})",
            hint="a running worker mends it, as does 'icfqueue reconcile PROJECT'; who "
            "else writes to this broker? (ops/valkey/users.acl)",
        )
    if refusals.is_refusal(error):
        found = refusals.words(error)
        return Unreachable(f"the broker {found.found}", hint=found.remedy)
    if refusals.is_answer(error):
        return Unreachable(
            f"the broker refused what it was asked ({shown(error)})",
            hint="'icfqueue doctor' tells whether it is set up as it must be",
        )
    return Unreachable(
        "the connection to the broker was lost",
        hint="what was enqueued is kept; try again, or 'icfqueue doctor'",
    )


def _hide_password(arguments: list[str]) -> None:
    """Move a password out of the arguments, which every user of the machine can read.

    The process replaces itself: what it was started with can be changed in no other way.
    """
    for place, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name != "--broker":
            continue
        at = place if equals else place + 1
        url = value if equals else (arguments[at] if at < len(arguments) else "")
        secret = urlsplit(url).password if "://" in url else None
        if secret is None:
            continue
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        bare = url.replace(parts.netloc, host, 1)
        arguments[at] = f"--broker={bare}" if equals else bare
        environment = {**os.environ, "ICFQUEUE_BROKER_URL": url, _TAKEN: "1"}
        command = [sys.executable, *_interpreter_options(), *arguments]
        os.execve(sys.executable, command, environment)  # noqa: S606 - this command again, no shell


_TAKEN = "ICFQUEUE_BROKER_FROM_ENVIRONMENT"
"""Set when ``--broker`` was given with a password: then the environment has it whole."""


def _interpreter_options() -> list[str]:
    return ["-I"] if sys.flags.isolated else []
