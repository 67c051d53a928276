"""Worker processes of this machine: started, watched, replaced when they are killed, ended with whoever started them.

Each is a plain command in a session of its own, so that Ctrl-C reaches it through its supervisor alone; it ends by
itself when the pipe to its standard input closes, which the kernel does for a supervisor that was killed.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from nasdrop.searchers.result import Observer

_POLL = 0.2  # seconds
_MOST_RESTARTS = 3  # of one worker


class Processes:
    """Runs commands side by side until all have ended.

    Args:
        commands: program and arguments, one command a worker.
        logs: folder of the files that take their output, `<number>.log`.
        observer: is told of deaths.
        environment: added to this process's own, for what shall not be seen in a list of processes.
    """

    def __init__(
        self,
        commands: Sequence[Sequence[str]],
        logs: Path,
        observer: Observer,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.environment = os.environ | (environment or {})
        self.commands, self.logs, self.observer = commands, logs, observer
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._restarts = [0] * len(commands)
        self.failed: dict[int, str] = {}

    def run(self, look: Callable[[], object]) -> None:
        """Start all; call `look` a few times a second and once at the end.

        Afterwards `failed` has the last words of each worker that ended by an error.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        try:
            for number in range(len(self.commands)):
                self._start(number)
            while self._running:
                time.sleep(_POLL)
                self._bury()
                look()
        except KeyboardInterrupt:
            self._stop()
            raise
        finally:
            self._kill()
        look()

    def _start(self, number: int) -> None:
        with self._log(number).open("ab") as log:
            self._running[number] = subprocess.Popen(
                self.commands[number],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self.environment,
            )

    def _bury(self) -> None:
        """Take note of who has ended; one that was killed is started again."""
        for number, process in list(self._running.items()):
            code = process.poll()
            if code is None:
                continue
            del self._running[number]
            _close(process)
            if code == 0:
                continue
            if code < 0 and self._restarts[number] < _MOST_RESTARTS:
                self._restarts[number] += 1
                self.observer.note(f"worker {number} was killed by {_signal_name(-code)}; another takes its place")
                self._start(number)
            else:
                self.failed[number] = self._last_words(number, code)
                self.observer.note(f"worker {number} ended: {self.failed[number]}")

    def _stop(self) -> None:
        """Let all end after their epoch; a second Ctrl-C ends them at once."""
        self.observer.note("stopping after the present epochs; Ctrl-C again stops at once")
        for process in self._running.values():
            process.terminate()
        try:
            for process in self._running.values():
                process.wait()
        except KeyboardInterrupt:
            for process in self._running.values():
                process.terminate()  # a worker takes the second one as an order
            for process in self._running.values():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=10)

    def _kill(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()
            _close(process)

    def _log(self, number: int) -> Path:
        return self.logs / f"{number}.log"

    def _last_words(self, number: int, code: int) -> str:
        lines = self._log(number).read_text(errors="replace").strip().splitlines()
        reason = f"killed by {_signal_name(-code)}" if code < 0 else f"exit code {code}"
        return lines[-1].removeprefix("Error: ") if lines and code > 0 else reason


class StopSignal:
    """SIGTERM and SIGINT as a wish: the first sets `event`, the second interrupts as Ctrl-C does.

    Args:
        say: called when the first arrives.
    """

    def __init__(self, say: Callable[[], None]) -> None:
        self.event, self.say = threading.Event(), say
        self._before: Mapping[int, object] = {}

    def __enter__(self) -> "StopSignal":
        self._before = {number: signal.signal(number, self._take) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.event.is_set():
            raise KeyboardInterrupt
        self.event.set()
        self.say()

    def end_with_supervisor(self) -> None:
        """Take the end of standard input, which a supervisor holds open, as the first signal."""
        threading.Thread(target=self._await_end, name="supervisor", daemon=True).start()

    def _await_end(self) -> None:
        with suppress(OSError):
            while os.read(0, 1):
                pass
        self.event.set()


def _close(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None  # noqa: S101 - a pipe, as asked for
    with suppress(BrokenPipeError):
        process.stdin.close()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
