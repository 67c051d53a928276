"""Worker processes as plain small programs: started, replaced, ended."""

import os
import signal
import subprocess
import sys

import pytest

from nasdrop.searchers.processes import Processes, StopSignal
from nasdrop.searchers.result import Silent


class Notes(Silent):
    def __init__(self):
        self.lines = []

    def note(self, line):
        self.lines.append(line)


def run(tmp_path, *programs, look=lambda: None):
    notes = Notes()
    processes = Processes([(sys.executable, "-c", program, str(tmp_path)) for program in programs], tmp_path, notes)
    processes.run(look)
    return processes, notes.lines


def test_all_run_to_their_end_and_their_output_is_kept(tmp_path):
    processes, notes = run(tmp_path, "print('one')", "import sys; print('two', file=sys.stderr)")
    assert (processes.failed, notes) == ({}, [])
    assert [(tmp_path / f"{number}.log").read_text() for number in (0, 1)] == ["one\n", "two\n"]


DIES_ONCE = """
import os, signal, sys
from pathlib import Path
born = Path(sys.argv[1]) / "born"
if not born.exists():
    born.touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_who_is_killed_is_replaced(tmp_path):
    processes, notes = run(tmp_path, DIES_ONCE, "")
    assert processes.failed == {}
    assert notes == ["worker 0 was killed by SIGKILL; another takes its place"]


def test_who_is_killed_again_and_again_is_given_up(tmp_path):
    processes, notes = run(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "")
    assert processes.failed == {0: "killed by SIGKILL"}
    assert len(notes) == 4


def test_who_ends_by_an_error_is_not_replaced_and_its_last_words_are_told(tmp_path):
    processes, notes = run(tmp_path, "import sys; sys.exit('Error: no such data')", "")
    assert processes.failed == {0: "no such data"}
    assert notes == ["worker 0 ended: no such data"]


WAITS = """
import os, sys
from nasdrop.searchers.processes import StopSignal
with StopSignal(lambda: None) as stop:
    stop.end_with_supervisor()
    print("ready", flush=True)
    stop.event.wait(60)
    print("stopped" if stop.event.is_set() else "late")
"""


def test_an_interruption_ends_all(tmp_path):
    def interrupt_when_ready():
        logs = [tmp_path / f"{number}.log" for number in (0, 1)]
        if all("ready" in log.read_text() for log in logs):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, WAITS, WAITS, look=interrupt_when_ready)
    assert [(tmp_path / f"{number}.log").read_text() for number in (0, 1)] == ["ready\nstopped\n"] * 2


def test_workers_end_with_a_supervisor_that_was_killed(tmp_path):
    supervisor = (
        "import sys; from pathlib import Path\n"
        "from nasdrop.searchers.processes import Processes; from nasdrop.searchers.result import Silent\n"
        "Processes([(sys.executable, '-c', sys.argv[1])], Path(sys.argv[2]), Silent()).run(lambda: None)\n"
    )
    log = tmp_path / "0.log"
    with subprocess.Popen([sys.executable, "-c", supervisor, WAITS, str(tmp_path)]) as process:
        while not (log.exists() and "ready" in log.read_text()):
            assert process.poll() is None
        process.kill()
    while "stopped" not in log.read_text():
        assert "late" not in log.read_text()


def test_the_first_signal_is_a_wish_and_the_second_an_order():
    said = []
    before = signal.getsignal(signal.SIGTERM)
    with StopSignal(lambda: said.append("stopping")) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.event.is_set() and said == ["stopping"]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before
