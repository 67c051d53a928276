"""Worker processes on real digits: a killed one, an ended search, a resumed one; nothing lost and nothing twice.

Over PostgreSQL too, with the database stopped for eight seconds, and on a host that has nothing but its URL.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
from optuna.trial import TrialState

from nasdrop import cli
from nasdrop.errors import RunFolderError
from nasdrop.run_folder import RunFolder
from nasdrop.searchers.roster import Roster
from nasdrop.searchers.storage import find_study, place_of
from nasdrop.searchers.trials import counted

SMALL = (
    "space=tiny", "network.channels=4", "search.trials=4", "search.epochs=8", "search.pruner=none", "train.epochs=1",
    "train.batch_size=64", "data.train_limit=512", "final.random_cells=0", "final.without_drop=false",
    "final.genotype=''",
)  # fmt: skip
TIMEOUT = 240
OUTAGE = 8.0  # seconds
postgres = pytest.mark.postgres


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


def study_of(folder):
    """The study of a run, in its journal or in its database."""
    return find_study(*place_of(RunFolder(folder), RunFolder(folder).read_experiment()))


def wait_for(condition, process):
    deadline = time.monotonic() + TIMEOUT
    while not (found := condition()):
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
        time.sleep(0.02)
    return found


def half_trained(folder):
    """A trial that has reported two epochs of eight, and its worker."""
    try:
        study = study_of(folder)
    except RunFolderError:  # not yet
        return None
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
    study = study_of(folder)
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
    study = study_of(folder)
    roster = Roster(study)
    assert all(worker.left for worker in roster.workers().values())
    open_trials = [trial for trial in study.trials if trial.state is TrialState.RUNNING]
    assert open_trials and list((folder / "checkpoints").glob("trial-*.pt"))

    assert cli.run(["status", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["wanted"], told["workers"]) == (4, []) and told["done"] < 4
    assert cli.run(["resume", str(folder), "--workers", "1", "search.trials=5"]) == 0
    study = study_of(folder)
    check_all_accounted_for(study, wanted=5)
    for trial in open_trials:
        (again,) = [other for other in study.trials if other.user_attrs.get("retry_of") == trial.number]
        assert again.user_attrs["deaths"] == 0
        assert max(steps_of(folder, again).values()) == 1  # not one epoch was trained twice
    assert cli.run(["status", str(folder)]) == 0
    assert "5 of 5" in capsys.readouterr().out


class Server:
    """A private PostgreSQL server that is reached by a socket in a folder of its own."""

    def __init__(self, binaries, folder):
        self.binaries, self.folder = binaries, folder
        self.url = f"postgresql+psycopg://nas@/postgres?host={folder}"

    def call(self, program, *arguments):
        user = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}  # it refuses to run as root
        command = [self.binaries / program, "-D", self.folder / "data", *arguments]
        log = (self.folder / "call.log").open("ab")
        with log:
            subprocess.run(command, check=True, stdout=log, stderr=log, cwd=self.folder, **user)

    def start(self):
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off"
        self.call("pg_ctl", "-w", "-o", options, "-l", self.folder / "server.log", "start")

    def stop(self):
        self.call("pg_ctl", "-m", "immediate", "-w", "stop")


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    candidates = [*sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")), shutil.which("initdb")]
    initdb = next((Path(path) for path in reversed(candidates) if path), None)
    if initdb is None:
        pytest.skip("no PostgreSQL server binaries (apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="nasdrop-postgres-"))
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    server = Server(initdb.parent, folder)
    server.call("initdb", "-A", "trust", "-U", "nas", "--no-sync")
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


@postgres
def test_four_workers_survive_a_kill_and_an_outage(server, tmp_path):
    folder = tmp_path / "run"
    options = ("search.trials=10", "final.seeds=0", "--workers", "4", "--storage", server.url)
    with searching(folder, *options) as process:
        trial, worker = wait_for(lambda: half_trained(folder), process)
        os.kill(worker.pid, signal.SIGKILL)
        server.stop()
        time.sleep(OUTAGE)
        server.start()
        _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, err
    study = study_of(folder)
    check_all_accounted_for(study, wanted=10)
    (again,) = [other for other in study.trials if other.user_attrs.get("retry_of") == trial.number]
    assert again.params == trial.params and again.state.name == "COMPLETE"
    assert again.user_attrs["deaths"] == 1 and again.user_attrs["worker"] != worker.name
    steps = steps_of(folder, again)
    assert set(steps) == set(range(8)) and steps.total() <= 9  # the rest came from the checkpoint
    assert {other.user_attrs.get("retry_of") for other in study.trials} == {None, trial.number}, (
        "a live one was retried"
    )


@postgres
def test_a_worker_elsewhere_needs_the_database_alone(server, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "run"
    search = ["search", "digits", *SMALL, "seed=7", "search.trials=2", "final.seeds=0", "--out", str(folder)]
    assert cli.run([*search, "--storage", server.url]) == 0
    study = study_of(folder)
    (tmp_path / "host").mkdir()
    monkeypatch.chdir(tmp_path / "host")
    study.set_user_attr("experiment", study.user_attrs["experiment"].replace("trials = 2", "trials = 3"))
    assert cli.run(["worker", "--storage", server.url, "--study", study.study_name]) == 0
    check_all_accounted_for(study, wanted=3)
    assert (tmp_path / "host" / "runs" / study.study_name / "metrics.jsonl").exists()
    capsys.readouterr()
    assert cli.run(["status", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 3


@postgres
def test_the_optuna_command_reads_the_study(server, tmp_path):
    folder = tmp_path / "run"
    search = ["search", "nas_bench_201_table", "search.trials=5", "search.sampler=random", "--out", str(folder)]
    assert cli.run([*search, "--workers", "1", "--storage", server.url]) == 0
    study = study_of(folder)
    optuna = Path(sys.executable).parent / "optuna"
    command = [optuna, "trials", "--storage", server.url, "--study-name", study.study_name, "-f", "json"]
    trials = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert len(trials) == len(study.trials) >= 5 and trials[0]["state"] == "COMPLETE"


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
