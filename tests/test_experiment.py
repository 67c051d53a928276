"""A whole run from the library, on real digits: what is recorded was planned, and a killed run loses nothing."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import optuna
import pytest

import nasdrop
from nasdrop import cli, config, resources
from nasdrop.errors import ConfigError, InputError, RunError, RunFolderError
from nasdrop.run_folder import RunFolder
from nasdrop.searchers.evaluators import Evaluation
from nasdrop.searchers.journal import open_journal
from nasdrop.settings import Experiment
from nasdrop.space import Genotype
from nasdrop.train import read_metrics
from nasdrop.trained import export_network, load_network

SMALL = (
    "space=tiny", "network.channels=4", "search.trials=3", "search.epochs=5", "search.pruner=none", "train.epochs=1",
    "train.batch_size=128", "final.seeds=1", "final.random_cells=0", "final.without_drop=false", "final.genotype=''",
)  # fmt: skip


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return nasdrop.search("digits", *SMALL, "drop.p=0.5", out=tmp_path_factory.mktemp("run") / "digits")


def by_epoch(folder, run, tag):
    metrics = read_metrics(folder / "metrics.jsonl")
    return {metric["step"]: metric[tag] for metric in metrics if metric["run"] == run and tag in metric}


def trials(folder):
    return [path.name for path in (folder / "events").iterdir() if path.name.startswith("trial-")]


def test_the_result_says_what_was_found(result):
    assert result.folder.is_dir() and len(result.history) >= 3
    assert result.score == max(record.value for record in result.history if record.outcome == "done")
    assert Genotype.read(str(result.folder / "genotype.json")) == result.genotype


@pytest.mark.parametrize("epoch", [0, 2, 4])
def test_the_share_of_dropped_paths_is_the_schedules(result, epoch):
    """Counted masks against p e/E, within 4 standard errors, pooled over the trials: first, middle and last epoch."""
    planned = 0.5 * epoch / 5
    dropped = draws = 0.0
    for run in trials(result.folder):
        assert by_epoch(result.folder, run, "drop/planned/mean")[epoch] == pytest.approx(planned, abs=1e-6)
        genotype = next(record.genotype for record in result.history if run.endswith(key_of(record.genotype)))
        paths = droppable(genotype)
        samples = paths * (1077 // 128) * 128
        dropped += by_epoch(result.folder, run, "drop/realised/mean")[epoch] * samples
        draws += samples
    error = math.sqrt(planned * (1 - planned) / draws)
    assert draws > 10_000
    assert abs(dropped / draws - planned) <= 4 * error


def key_of(genotype):
    from nasdrop.files import digest
    from nasdrop.space import SearchSpace

    return digest(SearchSpace.load("tiny").canonical(genotype))[:12]


def droppable(genotype):
    """Edges that can drop, counted from the genotype: all but skips of stride 1, in 1 + 2 cells."""

    def count(cell, stride):
        return sum(not (edge.operation == "skip_connect" and (stride == 1 or edge.source >= 2)) for edge in cell.edges)

    return count(genotype["normal"], 1) + 2 * count(genotype["reduction"], 2)


def test_evaluation_draws_nothing(result):
    import torch

    network, shape = load_network(RunFolder(result.folder))
    images = torch.randn(64, *shape)
    before = torch.get_rng_state()
    first = network(images)
    assert torch.equal(first, network(images))
    assert torch.equal(before, torch.get_rng_state())
    network.path_drop.set_rates(0.5)
    assert not torch.equal(network.train()(images), network(images))  # and training does


def states(folder):
    study = optuna.load_study(storage=open_journal(folder / "study.journal"), study_name="digits")
    return study.get_trials(deepcopy=False)


def heed_interrupts():
    """Undo what a shell does to children of its background jobs: have them ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def running(folder, lines):
    """A search in another process that has recorded so many epochs."""
    command = [sys.executable, "-m", "nasdrop", "search", "digits", *SMALL, "--out", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=heed_interrupts)
    deadline = time.monotonic() + 120
    metrics = folder / "metrics.jsonl"
    with process:
        while not (metrics.exists() and metrics.read_bytes().count(b"\n") >= lines):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        yield process


def test_ctrl_c_keeps_what_was_done_and_exits_with_130(tmp_path):
    with running(tmp_path / "run", lines=2) as process:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130
    assert "Interrupted; what was done is kept" in err and "Traceback" not in err
    assert list((tmp_path / "run" / "checkpoints").glob("trial-*.pt"))


def test_kill_9_in_the_middle_of_a_trial(tmp_path):
    """The killed trial is asked again with the same cell, goes on from its checkpoint; the budget is met exactly."""
    folder = tmp_path / "run"
    with running(folder, lines=7) as process:  # the second trial's second epoch is over
        process.send_signal(signal.SIGKILL)
    killed = [trial for trial in states(folder) if trial.state is optuna.trial.TrialState.RUNNING]
    assert len(killed) == 1

    result = nasdrop.search("digits", *SMALL, out=folder)
    counted = [record for record in result.history if record.outcome != "duplicate"]
    assert len(counted) == 3
    assert len({key_of(record.genotype) for record in counted}) == 3
    retried = next(trial for trial in states(folder) if trial.user_attrs.get("retry_of") == killed[0].number)
    assert retried.params == killed[0].params and retried.state is optuna.trial.TrialState.COMPLETE
    run = f"trial-{key_of(Genotype.from_json(retried.user_attrs['genotype']))}"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if line.get("run") == run and "train/loss" in line]
    assert sorted(set(steps)) == [0, 1, 2, 3, 4]
    assert len(steps) <= 6  # at most the epoch whose checkpoint was being written is trained again


@pytest.mark.parametrize("name", resources.names("experiments"))
def test_shipped_experiments_are_valid(name):
    experiment = config.load(Experiment, resources.find("experiments", name))
    assert experiment.name == name and experiment.description
    assert experiment.space in resources.names("search_spaces")


OWN_SPACE = """
name = "own"
source = "this test"
skeleton = "darts"

[operations]
shift = "my_ops:Shift"

[cells.normal]
inputs = 2
nodes = 1
operations = ["shift", "skip_connect"]

[cells.reduction]
inputs = 2
nodes = 1
operations = ["shift", "max_pool_3x3"]
"""
OWN_OPERATION = """
from torch import nn


class Shift(nn.Module):
    def __init__(self, channels, stride, *, ndim, affine):
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels, affine=affine)

    def forward(self, x):
        return self.norm(self.convolution(x))
"""


def test_a_space_with_an_operation_of_ones_own_is_searched_and_kept(tmp_path):
    """The run folder alone is enough: it works on when the user's files are gone, and refuses changed ones."""
    (tmp_path / "own.toml").write_text(OWN_SPACE)
    (tmp_path / "my_ops.py").write_text(OWN_OPERATION)
    settings = [text for text in SMALL if not text.startswith(("space", "search.epochs", "search.trials"))]
    given = (*settings, f"space={tmp_path / 'own.toml'}", "search.epochs=1", "search.min_epochs=1", "search.trials=2")
    result = nasdrop.search("digits", *given, out=tmp_path / "run")
    assert {"own.toml", "my_ops.py"} <= {path.name for path in (tmp_path / "run" / "sources").iterdir()}

    (tmp_path / "my_ops.py").write_text(OWN_OPERATION + "\n# changed\n")
    with pytest.raises(RunFolderError, match=r"my_ops\.py is"):
        nasdrop.search("digits", *given, out=tmp_path / "run")
    (tmp_path / "my_ops.py").unlink()
    (tmp_path / "own.toml").unlink()
    network, _ = load_network(RunFolder(result.folder))
    used = {edge.operation for cell in result.genotype.cells for edge in cell.edges}
    assert any(type(module).__name__ == "Shift" for module in network.modules()) == ("shift" in used)

    written = export_network(RunFolder(result.folder), "source", tmp_path / "plain.py")
    assert {path.name for path in written} == {"plain.py", "plain.pt", "my_ops.py"}
    (tmp_path / "my_ops.py").write_text("# something else")
    with pytest.raises(InputError, match=r"my_ops\.py: is another file than the my_ops\.py that plain\.py imports"):
        export_network(RunFolder(result.folder), "source", tmp_path / "plain.py")


def test_a_search_over_a_table_trains_nothing_and_goes_on(tmp_path):
    few = nasdrop.search("nas_bench_201_table", "search.trials=12", out=tmp_path / "run")
    more = nasdrop.search("nas_bench_201_table", "search.trials=20", out=tmp_path / "run")
    assert more.history[: len(few.history)] == few.history
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["validation_accuracy"] == more.score == result["table"]["valid_accuracy_200"] / 100
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"genotype.json", "cell.svg", "study.journal"}
    assert not (tmp_path / "run" / "weights.safetensors").exists()


def test_a_search_with_a_function_of_the_users_own(tmp_path):
    def skips(genotype, report):
        report(1, 0.0)
        return sum(edge.operation == "skip_connect" for cell in genotype.cells for edge in cell.edges)

    asked = ("space=tiny", "search.trials=30", "search.pruner=none")
    result = nasdrop.search("digits", *asked, out=tmp_path / "run", evaluator=skips)
    assert result.score == max(record.value for record in result.history) == skips(result.genotype, lambda *epoch: None)
    assert config.load(Experiment, tmp_path / "run" / "experiment.toml").search.evaluator == "python"
    with pytest.raises(ConfigError, match=r"search.evaluator: 'python' is for nasdrop.search"):
        nasdrop.search("digits", *asked, "search.evaluator=python", out=tmp_path / "run")


def test_a_search_with_a_cost_keeps_its_front(tmp_path):
    """No other trial beats one of the front, every other is beaten; files, picture, and going on."""
    asked = ("search.costs=['latency_ms_edgegpu', 'parameters']", "search.sampler=nsga2")
    nasdrop.search("nas_bench_201_table", *asked, "search.trials=20", out=tmp_path / "run")
    result = nasdrop.search("nas_bench_201_table", *asked, "search.trials=30", out=tmp_path / "run")
    done = {record.number: (record.value, *(-cost for cost in record.costs)) for record in result.best(99)}
    front = {record.number for record in result.front()}
    for number, goals in done.items():
        beaten = any(
            goals != other and all(a <= b for a, b in zip(goals, other, strict=True)) for other in done.values()
        )
        assert beaten != (number in front)
    rows = json.loads((tmp_path / "run" / "front.json").read_text())
    assert {row["trial"] for row in rows} == front
    assert Genotype.read(rows[0]["genotype"]) == result.genotype and rows[0]["value"] == result.score
    assert (tmp_path / "run" / "front.svg").read_text().startswith("<svg")


def test_a_trained_search_with_a_limit_and_latency_goes_on(tmp_path):
    """Latency is measured once a cell; the front and the limit survive a resumption."""
    asked = ("space=tiny", "network.channels=2", "network.num_cells=3", "search.epochs=2", "search.min_epochs=1")
    asked += ("search.costs=['latency']", "search.limits={parameters = 1400, latency = 30}", "search.latency_batch=2")
    asked += ("search.sampler=random", "search.pruner=none", "final.seeds=0", "data.train_limit=128")
    nasdrop.search("digits", *asked, "search.trials=2", out=tmp_path / "run")
    result = nasdrop.search("digits", *asked, "search.trials=4", out=tmp_path / "run")
    assert len(result.best(9)) == 4 and any(record.outcome == "over_limit" for record in result.history)
    for record in result.history:
        assert (record.parameters > 1400) == (record.outcome == "over_limit")
    rows = json.loads((tmp_path / "run" / "front.json").read_text())
    assert rows and all(0 < row["latency"] < 30 for row in rows)


def test_a_sampler_of_one_objective_takes_no_costs(tmp_path):
    with pytest.raises(ConfigError, match=r"search.sampler: must know several objectives .* got 'evolution'"):
        nasdrop.search(
            "nas_bench_201_table", "search.costs=['parameters']", "search.sampler=evolution", out=tmp_path / "run"
        )


def test_a_cost_that_nobody_tells(tmp_path):
    """Said before there is a run folder, except of a function, whose first evaluation shows what it tells."""
    for kind, cost, known in (
        ("digits", "latncy", "latency"),
        ("nas_bench_201_table", "latency_ms_edge", "latency_ms_edgegpu"),
    ):
        with pytest.raises(ConfigError, match=f"search.limits: must be .*, got '{cost}'; did you mean '{known}'"):
            nasdrop.search(kind, f"search.limits.{cost}=3", out=tmp_path / kind)
        assert not (tmp_path / kind / "experiment.toml").exists()
    with pytest.raises(ConfigError, match=r"search.costs: must be .*, got 'paramters'; did you mean 'parameters'"):
        nasdrop.search(
            "digits",
            "search.costs=['paramters']",
            out=tmp_path,
            evaluator=lambda *_: Evaluation(1.0, {"parameters": 3}),
        )
    unmeasured = Evaluation(1.0, {"parameters": math.inf})
    with pytest.raises(RunError, match="its parameters must be finite, got inf"):
        asked = ("search.costs=['parameters']", "search.trials=2", "name=other")
        nasdrop.search("digits", *asked, out=tmp_path / "other", evaluator=lambda *_: unmeasured)


def test_a_loss_of_ones_own_and_another_metric(tmp_path, monkeypatch, capsys):
    (tmp_path / "losses.py").write_text(
        "from torch.nn import functional\n\n\ndef margin(logits, labels):\n"
        "    return functional.multi_margin_loss(logits, labels)\n"
    )
    monkeypatch.chdir(tmp_path)
    options = (
        *SMALL, "train.loss=losses.py:margin", "train.metric=macro_f1", "search.trials=1", "search.epochs=1",
        "search.min_epochs=1",
    )  # fmt: skip
    found = nasdrop.search("digits", *options, out=tmp_path / "run")
    assert (tmp_path / "run" / "sources" / "losses.py").is_file()
    written = json.loads((tmp_path / "run" / "result.json").read_text())
    assert written["validation_accuracy"] == found.score
    (scores,) = by_epoch(tmp_path / "run", trials(tmp_path / "run")[0], "valid/macro_f1").values()
    assert found.score == scores
    (row,) = written["test"]
    assert set(row["metrics"]) == {"balanced_accuracy", "macro_f1", "top5"}
    assert all(0 <= value <= 1 for value in row["metrics"].values())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "run" / "result.json").unlink()
    assert cli.run(["resume", str(tmp_path / "run")]) == 0  # from its own copy of the loss
    (again,) = json.loads((tmp_path / "run" / "result.json").read_text())["test"]
    assert again | {"seconds": 0} == row | {"seconds": 0}
    assert cli.run(["show", str(tmp_path / "run")]) == 0
    assert "balanced accuracy" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="loss: no such file"):
        nasdrop.search("digits", *options)


BESIDE = (
    'search.beside={"drop.p"={low=0.3, high=0.6}, "network.channels"=[5, 6], '
    '"train.learning_rate"={low=0.05, high=0.2, log=true}}'
)


def test_settings_found_beside_the_cell_are_those_of_the_final_trainings(tmp_path):
    """With two workers, whose final trainings read them from the run folder; a repetition from best.toml has them."""
    folder = tmp_path / "run"
    assert (
        nasdrop_command(
            "search",
            "digits",
            *SMALL,
            BESIDE,
            "search.trials=2",
            "search.epochs=2",
            "final.seeds=2",
            "--workers",
            "2",
            "--out",
            folder,
        )
        == 0
    )
    result = json.loads((folder / "result.json").read_text())
    chosen, best = result["chosen"], config.load(Experiment, folder / "best.toml")
    assert list(chosen) == ["drop.p", "network.channels", "train.learning_rate"]
    assert (best.drop.p, best.network.channels, best.train.learning_rate) == tuple(chosen[key] for key in chosen)
    assert best.search.beside == {} and best.final == RunFolder(folder).read_experiment().final
    network, _ = load_network(RunFolder(folder))
    assert network.stem[0].out_channels % chosen["network.channels"] == 0
    assert {training["parameters"] for training in result["trainings"].values()} == {parameters_of(network)}
    keys = {key.split("-")[0] for key in result["trainings"]}
    (trial,) = [trial for trial in states(folder) if trial.user_attrs["canonical"][:12] in keys and trial.values]
    assert trial.user_attrs["chosen"] == {key: trial.params[key] for key in chosen} == chosen
    assert trial.values[0] == max(other.values[0] for other in states(folder) if other.values)
    finals = [name.name for name in (folder / "events").iterdir() if name.name.startswith("final-")]
    assert len(finals) == 2
    assert nasdrop_command("show", folder) == 0


def parameters_of(network):
    return sum(weight.numel() for name, weight in network.named_parameters() if not name.startswith("auxiliary."))


def nasdrop_command(*arguments):
    return cli.run([str(argument) for argument in arguments])


def test_a_choice_that_no_network_can_be_built_with_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(ConfigError) as caught:
        nasdrop.search("digits", *SMALL, 'search.beside={"drop.policy"=["edge", "egde"]}', out=tmp_path / "run")
    (line,) = caught.value.lines
    assert (
        line.startswith("search.beside.drop.policy: 'egde' cannot be used: ") and "edge" in line.partition("used:")[2]
    )
    assert not (tmp_path / "run" / "study.journal").exists()
