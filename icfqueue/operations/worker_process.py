"""Worker processes: one Celery worker, started, watched, started again, stopped.

Used by ``icfqueue worker``, which is this and nothing else, and by ``icfqueue run``. The
Celery worker leads a process group of its own, so that a Ctrl-C in a terminal reaches
only the command, and so that nothing of it is left when it is killed.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from types import FrameType

import platformdirs

from icfqueue.broker.connection import Broker
from icfqueue.core.errors import Unreachable, UnsafePath, UsageError
from icfqueue.core.processes.pulse import PULSE_VARIABLE, WORKING, Pulse
from icfqueue.core.settings import Settings
from icfqueue.core.steps import QUEUES
from icfqueue.pipeline.heartbeat import LAST_WORD
from icfqueue.store.beneath.folder import Folder
from icfqueue.store.beneath.walk import HIDDEN
from icfqueue.store.directory import Store

log = logging.getLogger(__name__)

RESTARTS = 5
"""How often within :data:`RESTART_SPAN` Celery is started again."""

RESTART_SPAN = 600.0
RESTART_PAUSE = 2.0
KEEP_LOGS = 30 * 24 * 3600.0
"""Seconds after their last word for which logs of workers are kept."""

MARGIN = 10.0
"""Seconds beyond the grace period after which a worker that is stopping is killed."""

LONGEST_PAUSE = 60.0
"""Longest wait, in seconds, before Celery is started again where the broker was the cause;
it grows from :data:`RESTART_PAUSE`, and there is no last time."""


class WorkerProcess:
    """One Celery worker and its processes.

    Parameters
    ----------
    settings
        Handed on through the environment, where no other user reads a password.
    concurrency
        Processes that work on visits.
    queues
        Which queues to serve.
    broker
        Where the broker is; by default what the settings say.
    stop_at
        Time (seconds since 1970) after which no more work is taken.
    quiet
        Write Celery's log to a file in the store directory instead of to stderr.
    say
        Tells a person what becomes of the worker.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        concurrency: int,
        queues: tuple[str, ...] = QUEUES,
        broker: Broker | None = None,
        stop_at: float | None = None,
        loglevel: str = "info",
        quiet: bool = False,
        say: Callable[[str], None] = log.warning,
    ) -> None:
        self.settings = settings
        self.concurrency = concurrency
        self.queues = queues
        self.broker = broker
        self.stop_at = stop_at
        self.loglevel = loglevel
        self.quiet = quiet
        self.say = say
        self.process: subprocess.Popen[bytes] | None = None
        self.gave_up = False
        self._log_folder = Store(settings.store_dir).root / HIDDEN / "log"
        self._starts: deque[float] = deque()
        self._again_at = 0.0
        self._pause = RESTART_PAUSE
        self._pulse = Pulse()
        self._stop_asked = False

    @property
    def log_path(self) -> Path:
        """Where the log goes if `quiet`; known for sure once the worker was started."""
        return self._log_folder / f"worker-{socket.gethostname()}-{os.getpid()}.log"

    def run(self) -> int:
        """Keep the worker up until a signal or the end of its time; the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        Store(self.settings.store_dir).check_is_there()
        self.start()
        while not self._stop_asked and not self.gave_up and not self._ended_on_time():
            self.look()
            time.sleep(0.2)
        if self.gave_up:
            self.say(
                f"icfqueue: the Celery worker ended {RESTARTS + 1} times within "
                f"{RESTART_SPAN / 60:.0f} minutes; giving up. Its last words are above."
            )
            return 1
        self.stop()
        return 0

    def start(self) -> None:
        """Start the Celery worker."""
        self._starts.append(time.monotonic())
        log = self._open_log() if self.quiet else None
        try:
            with self._pulse.pipe() as pipe:
                self.process = subprocess.Popen(
                    self._command(),
                    env={**self._environment(), PULSE_VARIABLE: str(pipe)},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=(pipe,),
                )
        finally:
            if log is not None:
                os.close(log)

    def look(self) -> None:
        """Start the worker again if it has ended or hangs, but not for ever.

        Where the broker was the cause there is no last time, but a growing pause.
        """
        if self.process is None or self.gave_up:
            return
        now = time.monotonic()
        if self.process.poll() is None:
            self._end_if_it_hangs()
        elif self._again_at == 0.0:
            self._kill_group()
            self._again_at = now + self._pause_before_next(self.process, now)
        elif now >= self._again_at:
            self._again_at = 0.0
            self.start()

    def _end_if_it_hangs(self) -> None:
        """Kill a worker whose main loop goes round no more."""
        self._pulse.feel()
        if self._pulse.state == WORKING and self._pulse.lasts > LONGEST_PAUSE:
            self._pause = RESTART_PAUSE
        patience = self.settings.grace + LAST_WORD + MARGIN
        if self._pulse.is_gone(patience):
            self.say("icfqueue: the Celery worker hangs; it is ended")
            self._kill_group()

    def _pause_before_next(self, process: subprocess.Popen[bytes], now: float) -> float:
        """Return the seconds until the worker is started again; may give up instead."""
        code = process.returncode
        self._pulse.feel()
        what = f"icfqueue: the Celery worker ended (exit {code})"
        if code == Unreachable.exit_code or self._pulse.waited:
            # It has no part in it: this start does not count.
            self._starts.pop()
            pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
            if not self.quiet:
                self.say(f"{what} as the broker is away; again in {pause:.0f} s")
            return pause
        while self._starts and self._starts[0] < now - RESTART_SPAN:
            self._starts.popleft()
        self.gave_up = len(self._starts) > RESTARTS
        if not self.quiet:
            self.say(what)
        return RESTART_PAUSE

    def stop(self, idle: Callable[[], bool] | None = None) -> None:
        """Ask the worker to stop; kill it if it does not within grace and margin.

        Parameters
        ----------
        idle
            Tells whether the worker has nothing left to do: it need not be waited for.
            Celery takes two seconds to say good-bye to processes that do nothing.
        """
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            if not self._ends_soon(self.process, idle):
                self.say("icfqueue: the worker does not stop; it is killed")
        self.kill()

    def _ends_soon(
        self, process: subprocess.Popen[bytes], idle: Callable[[], bool] | None
    ) -> bool:
        """Wait for the end of the worker that was asked to stop, or for it to be idle."""
        asked = time.monotonic()
        while time.monotonic() < asked + self.settings.grace + LAST_WORD + MARGIN:
            if process.poll() is not None:
                return True
            if idle and idle():
                return True
            time.sleep(0.02)
        return False

    def kill(self) -> None:
        """End the worker and all its processes at once."""
        self._kill_group()
        if self.process:
            self.process.wait()
        self._pulse.close()

    def _kill_group(self) -> None:
        if self.process:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                return

    def _ended_on_time(self) -> bool:
        over = self.stop_at is not None and time.time() > self.stop_at
        return over and self.process is not None and self.process.poll() is not None

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self._stop_asked and number == signal.SIGINT:
            self._kill_group()
        self._stop_asked = True

    def _command(self) -> list[str]:
        name = f"icfqueue-{os.getpid()}-{len(self._starts)}@{socket.gethostname()}"
        return [
            *(sys.executable, "-m", "workers"),
            *("--concurrency", str(self.concurrency)),
            *("--queues", ",".join(self.queues)),
            *("--hostname", name),
            *("--loglevel", self.loglevel),
        ]

    def _environment(self) -> dict[str, str]:
        chosen = self.settings
        more = {
            "ICFQUEUE_STORE_DIR": str(Store(chosen.store_dir).root),
            "ICFQUEUE_STORE_URL": chosen.store_url,
            "ICFQUEUE_PARENT": str(os.getpid()),
        }
        if self.broker:
            more["ICFQUEUE_BROKER_URL"] = self.broker.url
        elif chosen.broker_url:
            more["ICFQUEUE_BROKER_URL"] = chosen.broker_url.reveal()
        if chosen.broker_password:
            # No longer in the environment of this process: see `sources.keep_secrets`.
            more["ICFQUEUE_BROKER_PASSWORD"] = chosen.broker_password.reveal()
        if chosen.credential:
            more["ICFQUEUE_CREDENTIAL"] = chosen.credential
        if chosen.log_format != "text":
            more["ICFQUEUE_LOG_FORMAT"] = chosen.log_format
        if self.stop_at is not None:
            more["ICFQUEUE_STOP_AT"] = str(self.stop_at)
        return {**os.environ, **more}

    def _open_log(self) -> int:
        """Open the log in the store, or in the user's own folder if that is another's.

        Raises
        ------
        UsageError
            Neither can be written.
        UnsafePath
            Somebody put a link there.
        """
        own = platformdirs.user_log_path("icfqueue")
        try:
            with Store(self.settings.store_dir).beneath.made(self._log_folder) as folder:
                return self._log_file(folder)
        except PermissionError:
            self._log_folder = own
        try:
            own.mkdir(parents=True, exist_ok=True)
            with Folder.at(own) as folder:
                return self._log_file(folder)
        except OSError as error:
            raise UsageError(
                f"the worker's log cannot be written: {error.strerror} ({error.filename})",
                hint="the group of the store directory must be able to write in its "
                f"{HIDDEN}: look at group and umask",
            ) from None

    def _log_file(self, folder: Folder) -> int:
        """Open the log; those of workers that are long gone are removed."""
        for name, kind in folder.listing():
            if kind != "file" or not fnmatch(name, "worker-*.log"):
                continue
            # Somebody else's, or removed by somebody else meanwhile.
            with suppress(OSError, UnsafePath):
                found = folder.stat(name)
                if found and found.st_mtime < time.time() - KEEP_LOGS:
                    folder.unlink(name)
        flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_NONBLOCK
        return folder.open_file(self.log_path.name, flags, 0o640)


def parse_queues(text: str) -> tuple[str, ...]:
    """Return the queues that `text` names, with commas: each once, in their own order.

    Raises
    ------
    UsageError
        One of them is none of ours: its messages would never come.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in QUEUES]
    if unknown or not names:
        raise UsageError(
            f"--queues: there is no queue {', '.join(unknown) or 'in an empty list'}",
            hint=f"queues: {', '.join(QUEUES)}",
        )
    return tuple(queue for queue in QUEUES if queue in names)


def end_of_time(walltime: str | None, grace: float) -> float | None:
    """Return when to take no more work: before ``--walltime`` or a Slurm job are over.

    So long before that what runs has its grace period, and the worker is gone in time
    even if it must be killed; never before now.

    Parameters
    ----------
    walltime
        ``90m``, ``4h``, ``30s``, ``2d``, or Slurm's ``[days-]hours:minutes:seconds``.
    grace
        Seconds that are left to a step at a stop.
    """
    now = time.time()
    if walltime is not None:
        end = now + parse_time(walltime)
    elif (word := os.environ.get("SLURM_JOB_END_TIME", "")).isdigit():
        end = float(word)
    else:
        return None
    return max(now, end - grace - LAST_WORD - MARGIN)


def parse_time(text: str, option: str = "--walltime") -> float:
    """Return the seconds that `text`, given with `option`, stands for.

    Raises
    ------
    UsageError
        It is no time.
    """
    simple = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if simple:
        unit = {"": 60, "s": 1, "m": 60, "h": 3600, "d": 86400}[simple[2]]
        return float(simple[1]) * unit
    slurm = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)", text)
    if slurm:
        days, hours, minutes, seconds = (int(part or 0) for part in slurm.groups())
        return days * 86400.0 + hours * 3600 + minutes * 60 + seconds
    raise UsageError(
        f"{option}: {text!r} is no time", hint="for example 90m, 4h or 1-12:00:00"
    )
