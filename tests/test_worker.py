"""Worker processes on real digits: a killed one, an ended search, a resumed one; nothing lost and nothing twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager

import optuna
import pytest
from optuna.trial import TrialState

from nasdrop import cli
from nasdrop.searchers.journal import open_journal
from nasdrop.searchers.roster import Roster
from nasdrop.searchers.trials import counted

SMALL = (
    "space=tiny", "network.channels=4", "search.trials=4", "search.epochs=8", "search.pruner=none", "train.epochs=1",
    "train.batch_size=64", "data.train_limit=512", "final.random_cells=0", "final.without_drop=false",
    "final.genotype=''",
)  # fmt: skip
TIMEOUT = 240


@contextmanager
def searching(folder, *options):
    """`nasdrop search` with two workers, in another process."""
    command = [sys.executable, "-m", "nasdrop", "search", "digits", *SMALL, "--workers", "2", "--out", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def open_study(folder):
    return optuna.load_study(storage=open_journal(folder / "study.journal"), study_name="digits")


def wait_for(condition, process):
    deadline = time.monotonic() + TIMEOUT
    while not (found := condition()):
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
        time.sleep(0.02)
    return found


def half_trained(folder):
    """A trial that has reported two epochs of eight, and its worker."""
    if not (folder / "study.journal").exists():
        return None
    study = open_study(folder)
    workers = Roster(study).workers()
    for trial in study.get_trials(deepcopy=False):
        if trial.state is TrialState.RUNNING and len(trial.intermediate_values) >= 2:
            return trial, workers[trial.user_attrs["worker"]]
    return None


def steps_of(folder, trial):
    """How often each epoch of a trial's training has been recorded."""
    run = f"trial-{trial.user_attrs['canonical'][:12]}"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return Counter(line["step"] for line in lines if line["run"] == run and "train/loss" in line)


def check_all_accounted_for(study, wanted):
    """The budget met exactly, no cell twice, nothing left under way."""
    kept = counted(study.trials)
    assert len(kept) == len({trial.user_attrs["canonical"] for trial in kept}) == wanted
    assert {trial.state for trial in study.trials} <= {TrialState.COMPLETE, TrialState.FAIL}
    replaced = {trial.user_attrs["retry_of"] for trial in study.trials if "retry_of" in trial.user_attrs}
    failed = {trial.number for trial in study.trials if trial.state is TrialState.FAIL}
    assert replaced <= failed


def test_a_worker_killed_with_9_costs_at_most_one_epoch(tmp_path):
    folder = tmp_path / "run"
    with searching(folder, "final.seeds=2") as process:
        trial, worker = wait_for(lambda: half_trained(folder), process)
        os.kill(worker.pid, signal.SIGKILL)
        _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, err
    assert "was killed by SIGKILL; another takes its place" in err
    study = open_study(folder)
    check_all_accounted_for(study, wanted=4)
    (again,) = [other for other in study.trials if other.user_attrs.get("retry_of") == trial.number]
    assert again.params == trial.params and again.state is TrialState.COMPLETE
    assert again.user_attrs["deaths"] == 1 and again.user_attrs["worker"] != worker.name
    steps = steps_of(folder, again)
    assert set(steps) == set(range(8)) and steps.total() <= 9  # the rest came from the checkpoint
    result = json.loads((folder / "result.json").read_text())
    assert len(result["trainings"]) == 2 and (folder / "weights.safetensors").exists()


def test_sigterm_ends_all_workers_after_their_epoch_and_resume_goes_on(tmp_path, capsys):
    folder = tmp_path / "run"
    with searching(folder, "final.seeds=0") as process:
        wait_for(lambda: half_trained(folder), process)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130 and "Interrupted; what was done is kept" in err
    study = open_study(folder)
    roster = Roster(study)
    assert all(worker.left for worker in roster.workers().values())
    open_trials = [trial for trial in study.trials if trial.state is TrialState.RUNNING]
    assert open_trials and list((folder / "checkpoints").glob("trial-*.pt"))

    assert cli.run(["status", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["wanted"], told["workers"]) == (4, []) and told["done"] < 4
    assert cli.run(["resume", str(folder), "--workers", "1", "search.trials=5"]) == 0
    study = open_study(folder)
    check_all_accounted_for(study, wanted=5)
    for trial in open_trials:
        (again,) = [other for other in study.trials if other.user_attrs.get("retry_of") == trial.number]
        assert again.user_attrs["deaths"] == 0
        assert max(steps_of(folder, again).values()) == 1  # not one epoch was trained twice
    assert cli.run(["status", str(folder)]) == 0
    assert "5 of 5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("resume", "nowhere"), "nowhere: not a run folder"),
        (("worker", "nowhere"), "nowhere: not a run folder"),
        (("status", "nowhere"), "nowhere: not a run folder"),
        (("status",), "runs: no run folder here"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path, monkeypatch, capsys, arguments, line):
    monkeypatch.chdir(tmp_path)
    assert cli.run(list(arguments)) == 2
    assert line in capsys.readouterr().err
