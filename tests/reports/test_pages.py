"""Reports of runs of every kind, finished or not: what they say is what the folder holds, and nothing slips through."""

import json
import re
from html.parser import HTMLParser

import pytest

from nasdrop import cli, config
from nasdrop.errors import RunFolderError
from nasdrop.reports.facts import RunFacts
from nasdrop.reports.pages import report
from nasdrop.reports.sections import last_rates, search_history
from nasdrop.run_folder import RunFolder

VOID = {"meta", "link", "br", "rect", "path", "line", "circle"}


class Reader(HTMLParser):
    """Keeps text, headings and addresses, and checks that tags are closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.words, self.headings, self.addresses, self.tags = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("href", "src", "action", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)
            if self.open[-1] in ("h1", "h2", "h3"):
                self.headings.append(data.strip())

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def read(page):
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


ALL = ["Summary", "Best cell", "Drop path, planned and realised", "Search", "Results", "How to do it again"]


@pytest.mark.parametrize("kind", ["study", "gradient", "fractal", "table"])
def test_a_finished_run_is_told_whole_and_asks_for_nothing(run_of, kind):
    folder = run_of(kind)
    page = report([folder])
    reader = read(page)
    assert reader.headings == [folder.path.name, *ALL]
    assert "script" not in reader.tags and "img" not in reader.tags
    assert all(address.startswith(("#", "data:,")) for address in reader.addresses)
    links = [address for address in reader.addresses if address.startswith("#")]
    assert all(f'id="{link[1:]}"' in page for link in links)
    assert not re.search(r"url\(|@import", page)
    assert "finished" in reader.text and str(folder.path) in reader.text
    assert page.count('<svg xmlns="http://www.w3.org/2000/svg" class="nasdrop"') >= 2
    for word in RunFacts(folder).experiment.space, RunFacts(folder).drop:
        assert word in reader.text


def test_the_numbers_of_the_tables_are_the_runs(run_of):
    run = RunFacts(run_of("study"))
    text = read(report([run.folder])).text
    for score in run.scores:
        assert score.label in text and f"{100 * score.mean:.2f} %" in text
    best = run.study[0].best(1)[0]
    assert f"{best.value:.4f}" in text and f"{100 * run.result['validation_accuracy']:.2f} %" in text
    assert "best cell, seed 0" in text


def test_the_drop_rates_of_the_cell_are_the_last_planned_ones(run_of):
    run = RunFacts(run_of("study"))
    records = run.trainings[run.main]
    rates = last_rates(records)
    assert set(rates) == {"normal", "reduction"}
    assert all(records[-1][f"drop/planned/{kind}/edge_{e:02d}"] == p for kind in rates for e, p in rates[kind].items())
    assert run.main.startswith("final-") and "-drop-" in run.main
    assert 'stroke-dasharray="' in report([run.folder])
    assert last_rates([]) == {}


def test_the_history_never_falls(run_of):
    result = RunFacts(run_of("study")).study[0]
    chart = search_history({"": result})
    best = [y for _, y in chart.series[0].points]
    assert best == sorted(best) and best[-1] == result.best(1)[0].value
    assert search_history({}) is None


@pytest.mark.parametrize(("kind", "missing", "words"), [
    ("study", ("result.json", "weights.safetensors"), "not finished: 6 trials have ended"),
    ("study", ("result.json", "genotype.json", "study.journal", "metrics.jsonl"), "The study cannot be shown"),
    ("gradient", ("result.json", "genotype.json"), "not finished: 3 epochs of the search"),
    ("gradient", ("result.json", "genotype.json", "metrics.jsonl", "versions.json"), "No cell has been found yet"),
])  # fmt: skip
def test_a_run_that_is_not_finished_is_told_as_far_as_it_goes(copy_of, kind, missing, words):
    text = read(report([copy_of(kind, *missing)])).text
    assert words in text and "There are no results yet" in text


def test_names_texts_and_paths_are_escaped(copy_of, change):
    folder = copy_of("study")
    evil = "<script>alert(1)</script>\"'&"
    experiment = folder.read_experiment().model_copy(update={"description": evil})
    folder.experiment.write_text(config.dump(experiment))
    change(folder.result, validation_note=evil)
    rows = RunFacts(folder).result["test"]
    change(folder.result, test=[{**rows[0], "label": evil}, *rows[1:]])
    hostile = folder.path.rename(folder.path.with_name("run <img src=x onerror=alert(1)> & co"))
    page = report([RunFolder(hostile)])
    reader = read(page)
    assert "script" not in reader.tags and "img" not in reader.tags
    assert reader.text.count("<script>alert(1)</script>") >= 3


def test_a_databases_password_is_never_shown(copy_of):
    folder = copy_of("study", "study.journal")
    folder.storage.write_text('{"url": "postgresql+psycopg://u:hunter2@127.0.0.1:1/x", "study": "digits"}')
    page = report([folder])
    assert "hunter2" not in page and "The study cannot be shown" in read(page).text


def test_several_runs_begin_with_what_differs(run_of):
    folders = [run_of("study"), run_of("gradient"), run_of("table")]
    page = report(folders)
    reader = read(page)
    assert reader.headings[:3] == ["3 runs compared", "Comparison", "The runs"]
    assert all(folder.path.name in reader.headings for folder in folders)
    differing = page[page.index("Settings that differ</h3>") : page.index("Drop path side by side</h3>")]
    shown = re.findall(r"<td[^>]*>([a-z_]+\.[a-z_.]+)</td>", differing)
    assert {"drop.schedule", "search.kind", "network.channels"} <= set(shown)
    assert "search.grace_seconds" not in shown and "train.momentum" not in shown
    overlay = page[page.index("Drop path side by side</h3>") : page.index("Searches side by side</h3>")]
    assert overlay.count('class="curve"') == 4


def test_no_run_is_no_report(tmp_path):
    with pytest.raises(RunFolderError, match="needs a run folder, got none"):
        report([])
    with pytest.raises(RunFolderError, match="not a run folder"):
        report([RunFolder(tmp_path)])


def test_the_command(run_of, tmp_path, capsys):
    folder = str(run_of("study").path)
    assert cli.run(["report", folder]) == 0
    assert (run_of("study").path / "report.html").read_text().startswith("<!doctype html>")
    assert cli.run(["report", folder, folder, "--out", str(tmp_path / "two.html")]) == 0
    assert "2 runs compared" in (tmp_path / "two.html").read_text()
    capsys.readouterr()
    assert cli.run(["report", folder, "--out", str(tmp_path / "x.pdf")]) == 2
    assert "--out: must end in .html" in capsys.readouterr().err
    assert cli.run(["report", str(tmp_path)]) == 2
    assert "not a run folder" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["study", "gradient"])
def test_every_terminal_view_fits_80_columns_in_a_pipe(run_of, kind, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    folder = run_of(kind).path
    monkeypatch.chdir(folder.parent)
    for command in (["status", folder.name], ["show", folder.name]):
        assert cli.run(command) == 0
        out, _ = capsys.readouterr()
        assert "\x1b" not in out
        assert max(map(len, out.splitlines())) <= 80


def test_the_status_of_a_search_by_gradient(run_of, copy_of, capsys):
    assert cli.run(["status", str(run_of("gradient").path)]) == 0
    out, err = capsys.readouterr()
    assert "finished" in out and "best cell, seed 0" in out and "nasdrop show" in err
    assert cli.run(["status", str(copy_of("gradient", "result.json").path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["state"] == "not finished: 3 epochs of the search"
    assert {"training": "search", "epochs": 3}.items() <= told["trainings"][0].items()
