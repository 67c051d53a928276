"""Who works on a study: an entry a worker among the study's attributes, renewed by a heartbeat.

A worker of this machine is gone when its process is; one of another machine when its entry has not changed for the
grace period, by the clock of whoever asks, so that clocks need not agree. Works alike in every storage of Optuna.
"""

import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from optuna import Study

from nasdrop.errors import NasdropError

_PREFIX = "worker:"


@dataclass(frozen=True)
class Worker:
    """One process that works, or has worked, on a study.

    Attributes:
        name: unique in the study.
        host: name of its machine.
        place: which process numbers it shares: machine, boot and container.
        pid: its process number.
        birth: when the kernel started the process; a number used twice differs here. Empty: unknown.
        device: where it computes.
        joined: seconds since 1970, by its own clock.
        seen: likewise, of its last sign of life: `joined`, and the time that has passed since.
        left: it has signed off; what it was working on is free.
    """

    name: str
    host: str
    place: str
    pid: int
    birth: str
    device: str
    joined: float
    seen: float
    left: bool = False

    @classmethod
    def this(cls, device: str = "") -> "Worker":
        """An entry for this process."""
        pid, host, now = os.getpid(), platform.node(), time.time()
        name = f"{host}-{pid}-{secrets.token_hex(2)}"
        return cls(name, host, _place(), pid, _birth(pid) or "", device, joined=now, seen=now)

    @property
    def seconds(self) -> float:
        """How long it has worked, as far as its entry tells."""
        return max(0.0, self.seen - self.joined)


@dataclass
class Roster:
    """The workers of a study.

    Attributes:
        study: where the entries are.
        interval: seconds between two heartbeats.
        grace: seconds without one after which a worker of another machine counts as gone; longer than any outage of
            the storage that a search shall survive.
        clock: monotonic, in seconds.
    """

    study: Study
    interval: float = 60.0
    grace: float = 600.0
    clock: Callable[[], float] = time.monotonic
    _marks: dict[Hashable, tuple[object, float]] = field(default_factory=dict, repr=False)

    def workers(self) -> dict[str, Worker]:
        """Every entry, by name, in the order of joining."""
        found = [read_worker(value) for key, value in self.study.user_attrs.items() if key.startswith(_PREFIX)]
        return {worker.name: worker for worker in sorted(found, key=lambda worker: worker.joined)}

    def gone(self, worker: Worker) -> bool:
        """Whether nothing more is to be expected of a worker."""
        if worker.left:
            return True
        if worker.place == _place():
            return _birth(worker.pid) != (worker.birth or None)
        return self.unchanged(worker.name, worker.seen, self.grace)

    def unchanged(self, key: Hashable, mark: object, seconds: float) -> bool:
        """Whether `mark` has been the same for so long, as far as this process has seen."""
        last, since = self._marks.get(key, (None, 0.0))
        if key not in self._marks or last != mark:
            self._marks[key] = (mark, self.clock())
            return False
        return self.clock() - since > seconds

    @contextmanager
    def joined(self, device: str = "") -> Iterator[Worker]:
        """Be one of the workers: sign on, show signs of life from a thread of their own, sign off."""
        worker = Worker.this(device)
        self._write(worker)
        over = threading.Event()
        started = self.clock()

        def now() -> float:  # of a clock that nobody sets, or a jump of the other one would be counted as work
            return worker.joined + self.clock() - started

        thread = threading.Thread(target=self._beat, args=(worker, over, now), name="heartbeat", daemon=True)
        thread.start()
        try:
            yield worker
        finally:
            over.set()
            thread.join(timeout=1)  # it may be waiting for a storage that is away
            with suppress(NasdropError):  # who cannot sign off is found to be gone
                self._write(replace(worker, seen=now(), left=True))

    def _beat(self, worker: Worker, over: threading.Event, now: Callable[[], float]) -> None:
        while not over.wait(self.interval):
            with suppress(NasdropError):  # the worker meets the same trouble, and tells it
                self._write(replace(worker, seen=now()))

    def _write(self, worker: Worker) -> None:
        self.study.set_user_attr(f"{_PREFIX}{worker.name}", asdict(worker))


def read_worker(entry: Mapping[str, Any]) -> Worker:
    """The worker that an entry describes."""
    return Worker(**entry)


def _place() -> str:
    """What tells apart hosts, boots and containers, whose process numbers mean different processes."""
    boot, processes = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    known = [boot.read_text().strip()] if boot.exists() else []
    known += [str(processes.stat().st_ino)] if processes.exists() else []
    return "/".join([platform.node(), *known])


def _birth(pid: int) -> str | None:
    """When a process was started, in the kernel's ticks; None if it is over, "" where the kernel does not tell."""
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            pass
        return ""
    try:
        state, *fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else fields[18]  # a zombie, dead but not yet buried; starttime is the 22nd field
