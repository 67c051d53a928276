"""Runs the command line in a forked process, and kills it with signal 9 at a chosen moment.

One parent has imported everything, so a run costs what its command costs and not seconds of imports. Moments are
counted in file events (opened for writing, renamed, removed, locked, forced to the disk), so that a round is the same
each time; or in seconds, for the moments in between.
"""

import ctypes
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import IO, ClassVar, Literal, NoReturn

from nasdrop import cli
from nasdrop.searchers import journal, processes, study

LONGEST = 120.0  # seconds of one command: more is a hang
HANGS = 124  # the exit code of one that was ended for that
PATIENCE = 2.0  # seconds, for 30: a trial that was killed before it was signed is waited for so long

_EVENTS = {"os.rename", "os.remove", "os.mkdir", "fcntl.flock", "fcntl.lockf"}
_PR_SET_CHILD_SUBREAPER = 36
_WRITE = journal._write


@dataclass(frozen=True)
class Kill:
    """When a process dies.

    Attributes:
        mode: at a file event; in the middle of a line of the journal; or after some seconds.
        at: number of the event or of the line, from 1; or seconds.
        victim: the process itself, or the worker of that number in its first life.
    """

    mode: Literal["event", "line", "time"]
    at: float
    victim: int | None = None

    def __str__(self) -> str:
        return f"{self.mode} {self.at:.4g}" + ("" if self.victim is None else f" of worker {self.victim}")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (negative: the signal that killed it), what it printed, what it took."""

    code: int
    text: str
    seconds: float
    events: int
    group: int


class Count:
    """Counts file events under a folder in this process, and dies at the one of number `deadly`."""

    def __init__(self, root: Path, deadly: int = 0) -> None:
        self.root, self.deadly, self.seen = str(root), deadly, 0
        fsync = os.fsync

        def counted(handle: int) -> None:
            self.take()
            fsync(handle)

        os.fsync = counted
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
            if writes and isinstance(path, str) and path.startswith(self.root):
                self.take()
        elif event in _EVENTS:
            self.take()

    def take(self) -> None:
        """One more event."""
        self.seen += 1
        if self.seen == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)


def run(
    arguments: Sequence[object], root: Path, kill: Kill | None = None, before: Callable[[], object] | None = None
) -> Ended:
    """Run `nasdrop ARGUMENTS` in a forked process until it ends.

    Args:
        arguments: of the command line.
        root: folder whose file events count; what is printed goes to a file beside it.
        kill: when it dies.
        before: called in the forked process first.
    """
    output, events = root.with_name(f"{root.name}.out"), root.with_name(f"{root.name}.events")
    events.unlink(missing_ok=True)
    sys.stdout.flush()
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _be_child([str(argument) for argument in arguments], root, kill, output, events, before)
    if kill and kill.mode == "time":
        _kill_after(pid, kill.at)
    code = _wait(pid, started + LONGEST)
    counted = int(events.read_text() or 0) if events.exists() else 0
    return Ended(code, output.read_text(errors="replace"), time.monotonic() - started, counted, pid)


def end(groups: Sequence[int]) -> None:
    """End what commands have left behind, workers of a killed supervisor, and bury it."""
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def adopt_orphans() -> None:
    """Let what loses its parent become a child of this process, so that `end` can bury it."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _be_child(
    arguments: Sequence[str],
    root: Path,
    kill: Kill | None,
    output: Path,
    events: Path,
    before: Callable[[], object] | None,
) -> NoReturn:
    os.setsid()
    _redirect(os.open(os.devnull, os.O_RDONLY), os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
    count = _arm(root, kill if kill and kill.victim is None else None)
    Forked.root, Forked.fault, Forked.own = root, kill, count
    processes.subprocess = SimpleNamespace(  # type: ignore[assignment]
        Popen=Forked, PIPE=subprocess.PIPE, TimeoutExpired=subprocess.TimeoutExpired
    )
    study._PATIENCE = PATIENCE
    if before:
        before()
    code = _call(arguments)
    events.write_text(str(count.seen))
    os._exit(code)


def _redirect(source: int, sink: int) -> None:
    """Take input from one file and send all output to another, and know no other file."""
    for handle, number in ((source, 0), (sink, 1), (sink, 2)):
        os.dup2(handle, number)
    os.closerange(3, 256)


def _arm(root: Path, kill: Kill | None) -> Count:
    """Make this process die as `kill` says."""
    if kill and kill.mode == "line":
        _tear(int(kill.at))
    return Count(root, int(kill.at) if kill and kill.mode == "event" else 0)


def _tear(number: int) -> None:
    """Die in the middle of the journal's write of that number."""
    write, seen = journal._write, [0]

    def torn(file: object, content: bytes) -> None:
        seen[0] += 1
        if seen[0] == number:
            write(file, content[: random.Random(number).randrange(len(content))])
            os.kill(os.getpid(), signal.SIGKILL)
        write(file, content)

    journal._write = torn


def _call(arguments: Sequence[str]) -> int:
    """The exit code of the command line; what escapes it is printed as Python does."""
    try:
        code = cli.run(list(arguments))
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else 1
    except BaseException:  # noqa: BLE001 - a traceback, which the checks look for
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _wait(pid: int, deadline: float) -> int:
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return HANGS
        time.sleep(0.002)


def _kill_after(pid: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)


class Forked:
    """What a supervisor uses of `subprocess.Popen`, as a fork in the place of a new interpreter."""

    root: Path
    fault: Kill | None = None
    own: Count
    started: ClassVar[set[int]] = set()

    def __init__(self, command: Sequence[str], *, stdin: int, stdout: IO[bytes], **_: object) -> None:
        assert stdin == subprocess.PIPE
        number = int(command[command.index("--number") + 1])
        fault = self.fault if self.fault and self.fault.victim == number and number not in self.started else None
        self.started.add(number)
        self.returncode: int | None = None
        read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _redirect(read, stdout.fileno())
            self.own.deadly, journal._write = 0, _WRITE  # the supervisor's kill is not the worker's
            _arm(self.root, fault)
            os._exit(_call(command[3:]))
        os.close(read)
        self.stdin = os.fdopen(write, "wb", buffering=0)

    def poll(self) -> int | None:
        if self.returncode is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if done else None
        return self.returncode

    def wait(self, timeout: float = LONGEST) -> int:
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a worker", timeout)
            time.sleep(0.002)
        return code

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)
