import io
from dataclasses import dataclass

import pytest

from nasdrop.view.chart import rate_over_time
from nasdrop.view.terminal import (
    ascii_only,
    chart,
    common_name,
    drop_table,
    epoch_line,
    make_console,
    print_closing,
    results_table,
    stderr_console,
    stdout_console,
    summary,
    table,
    trial_line,
)


@dataclass
class Trial:
    number: int = 12
    outcome: str = "done"
    value: float | None = 0.98123
    epochs: int = 3
    parameters: int = 23412
    seconds: float = 6.21
    note: str = ""


@dataclass
class Score:
    label: str = "best cell"
    accuracies: tuple[float, ...] = (0.98, 0.99, 0.985)
    mean: float = 0.98611
    spread: float = 0.00278
    standard_error: float = 0.0061
    parameters: float = 119_234.0
    multiply_adds: float = 3_214_000.0
    seconds: float = 21.3
    images: int = 360


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A file that is a colour terminal of 80 columns."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    return Terminal()


def everything(console):
    rows = [(f"cells.{i}.edges.{j}", 0.0, 0.05 * i, 0.1 * i) for i in range(30) for j in range(8)]
    console.print(summary([("space", "darts"), ("description", "words " * 40)]))
    console.print(drop_table(rows))
    console.print(results_table([Score(), Score("a baseline with a name that is rather long " * 2)]))
    console.print(table(["a", "b"], [("x" * 100, 1), ("[red]y[/red] :smile:", 2)]))
    console.print(trial_line(Trial(), best=True))
    console.print(trial_line(Trial(outcome="failed", value=None, note="loss is not finite " * 10)))
    console.print(chart(rate_over_time({"a": [0, 0.2], "b": [0.2, 0]}, epochs=20), console))
    print_closing(console, ["runs/x/genotype.json"], "nasdrop show runs/x")


def test_a_pipe_gets_plain_text_of_80_columns(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    file = io.StringIO()
    everything(make_console(file))
    assert "\x1b" not in file.getvalue()
    assert max(map(len, file.getvalue().splitlines())) <= 80
    assert "[red]y[/red] :smile:" in file.getvalue()


def test_no_color_takes_all_styles_away(terminal, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    everything(make_console(terminal))
    assert "\x1b" not in terminal.getvalue()
    assert max(map(len, terminal.getvalue().splitlines())) <= 80


def test_a_terminal_has_colours(terminal):
    everything(make_console(terminal))
    assert "\x1b[" in terminal.getvalue()


def test_a_pipe_keeps_the_columns_that_the_environment_asks_for(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert make_console(io.StringIO()).width == 120
    assert make_console(io.StringIO(), width=60).width == 60


def test_the_two_consoles(capsys):
    stdout_console().print("result")
    stderr_console().print("hint")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("result\n", "hint\n")


def test_an_encoding_without_box_characters_is_served():
    raw = io.BytesIO()
    console = make_console(io.TextIOWrapper(raw, encoding="ascii"))
    assert ascii_only(console)
    assert not ascii_only(make_console(io.StringIO(), width=80))
    everything(console)
    console.file.flush()
    assert b"98.61 % ? 0.28" in raw.getvalue()
    assert b"Drop rate over time" in raw.getvalue()


def test_results_show_value_spread_size_and_time(shown):
    text = shown(results_table([Score(), Score("random cells", (0.97,), 0.97, 0.0)]))
    assert [line.rstrip() for line in text.splitlines()] == [
        "Test accuracy",
        "network             accuracy  runs  params  mult-adds  time/run",
        "───────────────────────────────────────────────────────────────",
        "best cell     98.61 % ± 0.28     3    119k      3.21M    21.3 s",
        "random cells         97.00 %     1    119k      3.21M    21.3 s",
        "mean ± standard deviation over runs; 360 test images allow a",
        "standard error of 0.61 %",
    ]


def test_no_results(shown):
    assert "network" in shown(results_table([]))


def test_paths_of_equal_rates_share_a_row(shown):
    rows = [
        (f"cells.{i}.edges.{j}", 0.0, 0.0 if j == 2 else 0.1, 0.0 if j == 2 else 0.2)
        for i in range(3)
        for j in range(4)
    ]
    lines = [line.split() for line in shown(drop_table(rows)).splitlines()]
    assert ["cells.0-2.edges.0-1,3", "0", "0.1", "0.2"] in lines
    assert ["cells.0-2.edges.2", "0", "0", "0"] in lines
    assert len(lines) == 5


def test_many_rows_are_cut_in_the_middle(shown):
    text = shown(drop_table([(f"cells.{i}", 0.0, i / 200, i / 100) for i in range(60)]))
    assert "cells.0 " in text
    assert "cells.59" in text
    assert "... 36 rows more" in text
    assert len(text.splitlines()) == 28


def test_nothing_drops(shown):
    assert "nowhere: nothing drops" in shown(drop_table([]))


@pytest.mark.parametrize(
    ("names", "common"),
    [
        (["cells.3"], "cells.3"),
        (["cells.3", "cells.4"], "cells.3-4"),
        (["cells.0", "cells.1", "cells.5"], "cells.0-1,5"),
        ([f"cells.{2 * i}" for i in range(20)], "cells.*"),
        (["cells.0.edges.1", "cells.1.edges.0"], "cells.0-1.edges.0-1, in part"),
        (["stem", "head"], "stem ... head"),
        (["block"], "block"),
    ],
)
def test_common_names(names, common):
    assert common_name(names) == common


@pytest.mark.parametrize(
    ("trial", "best", "line"),
    [
        (Trial(), False, "trial  12  0.9812  23.4k params    6.2 s  done"),
        (Trial(), True, "trial  12  0.9812  23.4k params    6.2 s  done, best so far"),
        (Trial(outcome="pruned"), False, "trial  12  0.9812  23.4k params    6.2 s  pruned at epoch 3"),
        (
            Trial(outcome="duplicate", note="same cell as trial 4", seconds=0.002),
            False,
            "trial  12  0.9812  23.4k params     2 ms  same cell as trial 4",
        ),
        (
            Trial(outcome="failed", value=None, parameters=0, note="out of memory"),
            False,
            "trial  12       -             -    6.2 s  failed: out of memory",
        ),
        (Trial(outcome="failed"), False, "trial  12  0.9812  23.4k params    6.2 s  failed"),
    ],
)
def test_trial_lines(trial, best, line):
    assert trial_line(trial, best=best).plain == line


def test_numbers_are_set_to_the_right(shown):
    text = shown(
        table(["name", "size", "share"], [("a", 5, "7.00 %"), ("bb", 12345, "12.50 %")], title="T", caption="c")
    )
    assert [line.rstrip() for line in text.splitlines()] == [
        "T",
        "name   size    share",
        "────────────────────",
        "a         5   7.00 %",
        "bb    12345  12.50 %",
        "c",
    ]


def test_paths_are_not_broken():
    file = io.StringIO()
    path = "runs/" + "x" * 100 + "/cell.svg"
    print_closing(make_console(file, width=80), [path, "b"], "nasdrop show x")
    assert file.getvalue() == f"wrote  {path}\n       b\nnext   nasdrop show x\n"
    file = io.StringIO()
    print_closing(make_console(file, width=80), [], "")
    assert file.getvalue() == ""


def test_curves_are_coloured_by_series():
    console = make_console(io.StringIO(), width=80)
    text = chart(rate_over_time({"a": [0, 0.2], "b": [0.2, 0]}, epochs=20), console)
    assert {span.style for span in text.spans} >= {"cyan", "yellow"}


def test_an_epoch_that_is_too_long_for_a_line_goes_on_below_indented(shown):
    facts = {"loss": "2.3233", "supernet": "0.0972", "skips": "0/4 1/4", "entropy": "1.325 1.296", "changed": "0"}
    first, second = shown(epoch_line(1, 4, facts)).splitlines()
    assert first == "epoch 1 of 4  loss 2.3233  supernet 0.0972  skips 0/4 1/4  entropy 1.325 1.296"
    assert second == " " * 12 + "  changed 0"
    assert len(shown(epoch_line(1, 4, {"loss": "1" * 100})).splitlines()) > 1
