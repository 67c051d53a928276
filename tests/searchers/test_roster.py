import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from nasdrop.searchers.roster import Roster, Worker


class Clock:
    """Time that passes when a test says so."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def roster(clock):
    return Roster(optuna.create_study(), interval=60, grace=600, clock=clock)


def test_a_worker_signs_on_and_off(roster):
    with roster.joined("cpu") as worker:
        (entry,) = roster.workers().values()
        assert entry == worker and (entry.pid, entry.device, entry.left) == (os.getpid(), "cpu", False)
        assert not roster.gone(entry)
    (entry,) = roster.workers().values()
    assert entry.left and roster.gone(entry) and entry.seconds >= 0


def test_a_worker_that_fails_signs_off_too(roster):
    with pytest.raises(KeyboardInterrupt), roster.joined():
        raise KeyboardInterrupt
    assert all(worker.left for worker in roster.workers().values())


def test_the_heart_beats(roster, clock):
    roster.interval = 0.001
    with roster.joined() as worker:
        while roster.workers()[worker.name].seen == worker.seen:
            clock.now += 1


def test_a_process_of_this_machine_is_gone_when_it_is_over(roster):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        stat = Path(f"/proc/{process.pid}/stat")
        birth = stat.read_text().rpartition(")")[2].split()[19] if stat.exists() else ""
        worker = replace(Worker.this(), pid=process.pid, birth=birth)
        assert not roster.gone(worker)
        process.kill()
        while not roster.gone(worker):  # a zombie is gone before its parent buries it
            pass
    assert roster.gone(worker)


def test_a_process_number_that_is_used_again_is_another_process(roster):
    worker = Worker.this()
    assert not roster.gone(worker)
    assert roster.gone(replace(worker, birth="1"))


def test_a_worker_elsewhere_is_gone_after_the_grace_period_without_a_sign(roster, clock):
    worker = replace(Worker.this(), place="another machine", seen=5.0)  # whose clock is of no account
    assert not roster.gone(worker)
    clock.now += 599
    assert not roster.gone(worker)
    worker = replace(worker, seen=6.0)
    clock.now += 599
    assert not roster.gone(worker)  # it has shown a sign in between
    clock.now += 601
    assert roster.gone(worker)


def test_a_clock_that_jumps_is_not_counted_as_work(roster, clock, monkeypatch):
    with roster.joined():
        clock.now += 5
        monkeypatch.setattr("nasdrop.searchers.roster.time.time", lambda: 86_400.0 * 365 * 90)
    (entry,) = roster.workers().values()
    assert entry.seconds == pytest.approx(5) and entry.left
