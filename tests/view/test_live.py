import io

import pytest

from nasdrop.view.live import LiveView
from nasdrop.view.terminal import make_console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Trial:
    def __init__(self, number: int, value: float | None, outcome: str = "done", note: str = "") -> None:
        self.number, self.value, self.outcome, self.note = number, value, outcome, note
        self.epochs, self.parameters, self.seconds = 8, 23412, 6.2


def search(view):
    trials = [
        Trial(0, 0.97),
        Trial(1, 0.98),
        Trial(2, 0.98, "duplicate", "same cell as trial 1"),
        Trial(3, None, "failed"),
    ]
    with view:
        view.note("trial 0 was interrupted; its cell goes first")
        for trial in trials:
            view.trial_started(trial.number, 3)
            for epoch in range(1, 9):
                view.epoch_ended(epoch, 8, 0.9)
            view.trial_ended(trial)
        view.training_started("best cell, seed 0", 0, 5)
        view.epoch_ended(1, 20, None)
        view.training_ended(0.9889, 12.3)


@pytest.fixture
def environment(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    return monkeypatch


def test_a_pipe_gets_a_line_a_trial_and_no_bar(environment):
    file = io.StringIO()
    search(LiveView(make_console(file)))
    assert file.getvalue().splitlines() == [
        "trial 0 was interrupted; its cell goes first",
        "trial   0  0.9700  23.4k params    6.2 s  done, best so far",
        "trial   1  0.9800  23.4k params    6.2 s  done, best so far",
        "trial   2  0.9800  23.4k params    6.2 s  same cell as trial 1",
        "trial   3       -  23.4k params    6.2 s  failed",
        "training  1 of 5  0.9889   12.3 s  best cell, seed 0",
    ]


def test_a_terminal_gets_the_bar_too(environment):
    environment.setenv("COLUMNS", "80")
    file = Terminal()
    search(LiveView(make_console(file)))
    assert "trials" in file.getvalue()
    assert "epochs" in file.getvalue()
    assert "best 0.9800" in file.getvalue()
    assert "trial   1  0.9800" in file.getvalue()


def test_the_plan_says_what_will_run_and_where_drop_is_active(environment):
    file = io.StringIO()
    view = LiveView(make_console(file))
    view.planned([("space", "darts")], [("cells.0.edges.0", 0.0, 0.1, 0.2), ("cells.0.edges.1", 0.0, 0.1, 0.2)])
    assert [line.split() for line in file.getvalue().splitlines() if line.strip()] == [
        ["space", "darts"],
        ["Where", "drop", "is", "active"],
        ["paths", "first", "middle", "last"],
        ["─" * len("cells.0.edges.0-1  first  middle  last")],
        ["cells.0.edges.0-1", "0", "0.1", "0.2"],
    ]


def test_no_colour_codes_where_none_are_wanted(environment):
    environment.setenv("NO_COLOR", "1")
    environment.setenv("COLUMNS", "80")
    file = Terminal()
    search(LiveView(make_console(file)))
    assert "\x1b[3" not in file.getvalue()
    assert "\x1b[1m" not in file.getvalue()


def test_the_terminal_is_left_in_order_after_a_failure(environment):
    file = Terminal()
    view = LiveView(make_console(file, width=80))
    with pytest.raises(KeyboardInterrupt), view:
        view.trial_started(0, 3)
        raise KeyboardInterrupt
    assert file.getvalue().rstrip().endswith(("\x1b[?25h", "\x1b[2K", "\x1b[1A\x1b[2K"))
    assert file.getvalue().count("\x1b[?25l") == file.getvalue().count("\x1b[?25h")
