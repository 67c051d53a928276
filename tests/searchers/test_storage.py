import optuna
import pytest
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import InMemoryStorage
from sqlalchemy.exc import DataError, OperationalError

from nasdrop.errors import InputError, RunError, RunFolderError
from nasdrop.run_folder import RunFolder
from nasdrop.searchers.result import Silent
from nasdrop.searchers.storage import (
    PatientStorage,
    fetch,
    find_study,
    open_storage,
    open_study,
    place_of,
    publish,
    without_password,
)
from nasdrop.settings import Experiment

AWAY = OperationalError("SELECT 1", {}, Exception("server closed the connection"))


class Flaky(InMemoryStorage):
    """Fails so many times before each call of one method."""

    def __init__(self, errors):
        super().__init__()
        self.errors = list(errors)

    def get_all_trials(self, *arguments, **options):
        if self.errors:
            raise self.errors.pop(0)
        return super().get_all_trials(*arguments, **options)


def wrapped():
    error = StorageInternalError("An exception is raised during the commit.")
    error.__cause__ = AWAY
    return error


def patient(errors, **options):
    slept = []
    storage = PatientStorage(Flaky(errors), sleep=slept.append, **options)
    return optuna.create_study(storage=storage), slept


def test_a_storage_that_is_away_is_waited_for_longer_and_longer():
    study, slept = patient([AWAY, wrapped(), AWAY, AWAY])
    assert study.trials == []
    assert len(slept) == 4
    for wait, pause in zip(slept, (0.1, 0.2, 0.4, 0.8), strict=True):
        assert 0.5 * pause <= wait <= 1.5 * pause


def test_a_storage_that_stays_away_is_told():
    study, slept = patient([AWAY] * 1000, longest=60)
    with pytest.raises(RunError, match=r"away for more than 60 s: .*server closed the connection"):
        study.get_trials()
    assert 60 <= sum(slept) < 70 and max(slept) <= 7.5


@pytest.mark.parametrize(
    "error",
    [UpdateFinishedTrialError(), KeyError("x"), StorageInternalError("too long"), DataError("x", {}, Exception())],
)
def test_what_is_no_outage_is_not_tried_again(error):
    study, slept = patient([error])
    with pytest.raises(type(error)):
        study.get_trials()
    assert slept == []


def test_every_method_of_a_storage_is_forwarded():
    study, _ = patient([])
    trial = study.ask({"a": optuna.distributions.CategoricalDistribution(("x", "y"))})
    trial.report(0.5, 1)
    trial.set_user_attr("b", 1)
    study.tell(trial, 1.0)
    study.enqueue_trial({"a": "x"})
    assert study.best_trial.user_attrs == {"b": 1} and len(study.trials) == 2


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://me:secret@host:5432/db?x=1", "postgresql+psycopg://me@host:5432/db?x=1"),
        ("postgresql+psycopg://me@host/db", "postgresql+psycopg://me@host/db"),
        ("postgresql+psycopg://:secret@host/db", "postgresql+psycopg://host/db"),
        ("sqlite:///x.db", "sqlite:///x.db"),
        ("postgresql+psycopg://me:a/b#c@host/db", "postgresql+psycopg://me@host/db"),
        ("postgresql+psycopg://me@host/db?password=secret&x=1", "postgresql+psycopg://me@host/db?x=1"),
        ("postgresql+psycopg://me:secret@host:port/db", "postgresql+psycopg://me@host:port/db"),
    ],
)
def test_no_password_is_shown(url, shown):
    assert without_password(url) == shown


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense", "cannot be used"),
        ("nosuchdb://host/db", "cannot be used"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/db", "cannot be used: .*refused"),
        ("sqlite:////nowhere/x.db", "unable to open database file"),
    ],
)
def test_a_database_that_cannot_be_used_is_the_users_mistake(url, reason):
    with pytest.raises(InputError, match=reason) as caught:
        open_storage(url)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.fixture
def run(tmp_path):
    """A claimed run folder whose study is in a database of one file."""
    folder = RunFolder(tmp_path / "run", f"sqlite:///{tmp_path}/studies.db")
    source = tmp_path / "tiny.toml"
    source.write_text("name = 'tiny'\n")
    experiment = Experiment(name="a", space="tiny")
    folder.claim(experiment, {"tiny.toml": source})
    return folder, experiment


def test_a_run_remembers_where_its_study_is(run):
    folder, experiment = run
    place, name = place_of(folder, experiment)
    assert place == folder.database and name.startswith("a-") and len(name) == 10
    assert place_of(RunFolder(folder.path), experiment) == (place, name)
    assert place_of(RunFolder(folder.path.parent / "other"), experiment)[0].name == "study.journal"


def test_another_host_gets_the_whole_experiment_from_the_study(run, tmp_path, monkeypatch):
    folder, experiment = run
    place, name = place_of(folder, experiment)
    with pytest.raises(RunFolderError, match="holds no study"):
        fetch(place, name, tmp_path / "elsewhere")
    study = open_study(place, name, Silent())
    with pytest.raises(RunFolderError, match="not one of nasdrop's"):
        fetch(place, name, tmp_path / "elsewhere")
    publish(study, folder, experiment)
    monkeypatch.chdir(tmp_path)
    there = fetch(place, name, None)
    assert there.path.name == name and there.read_experiment() == experiment
    assert (there.sources / "tiny.toml").read_text() == "name = 'tiny'\n"
    assert find_study(*place_of(RunFolder(there.path), experiment)).study_name == name
    fetch(place, name, None)  # a second worker on that host


def test_a_database_is_not_taken_for_a_run_with_a_journal(run):
    folder, experiment = run
    folder.journal.touch()
    with pytest.raises(RunFolderError, match=r"study.journal: the study of this run is here"):
        place_of(folder, experiment)


def test_a_missing_journal_is_not_made(tmp_path):
    with pytest.raises(RunFolderError, match="no such study"):
        find_study(tmp_path / "study.journal", "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", ["../my_ops.py", "/tmp/my_ops.py", "a/b.py", "..", ""])
def test_sources_of_a_study_cannot_leave_their_folder(tmp_path, file):
    place = f"sqlite:///{tmp_path / 'x.db'}"
    study = open_study(place, "s", Silent())
    study.set_user_attr("experiment", 'name = "x"')
    study.set_user_attr("sources", {file: "evil"})
    with pytest.raises(RunFolderError, match="a source must be a plain name of a file"):
        fetch(place, "s", tmp_path / "run")
    assert {path.name for path in tmp_path.iterdir()} == {"x.db"}


@pytest.mark.parametrize("text", ["[]", '{"url": 1}', "null"])
def test_a_damaged_note_of_the_storage_is_refused(tmp_path, text):
    (tmp_path / "storage.json").write_text(text)
    with pytest.raises(RunFolderError, match=r"storage.json: damaged"):
        place_of(RunFolder(tmp_path), Experiment(name="x"))
