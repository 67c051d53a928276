import json
import subprocess
import sys

import pytest

from nasdrop.errors import RunFolderError
from nasdrop.run_folder import RunFolder, default_path, set_aside, versions
from nasdrop.settings import Experiment, StudySettings, TrainSettings


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


@pytest.fixture
def sources(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text("name = 'tiny'\n")
    return {"space.toml": path}


def refused(call) -> str:
    with pytest.raises(RunFolderError) as caught:
        call()
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_claimed_folder_tells_all_about_its_run(folder, sources):
    experiment = Experiment(name="a")
    with folder.locked():
        folder.claim(experiment, sources)
    assert folder.read_experiment() == experiment
    identity = json.loads(folder.identity.read_text())
    assert identity["versions"]["torch"] == versions()["torch"] != "not installed"
    assert (folder.sources / "space.toml").read_text() == "name = 'tiny'\n"
    assert len(identity["sources"]["space.toml"]) == 64


def test_more_trials_continue_a_run_and_other_settings_do_not(folder, sources):
    folder.claim(Experiment(name="a"), sources)
    folder.claim(Experiment(name="a", device="cpu", search=StudySettings(trials=99)), sources)
    assert folder.read_experiment().search.trials == 99
    before = folder.identity.read_bytes()
    message = refused(lambda: folder.claim(Experiment(name="a", train=TrainSettings(epochs=3)), sources))
    assert "train.epochs is 20 there, 3 here" in message and "--fresh" in message
    assert folder.identity.read_bytes() == before


def test_a_changed_space_is_another_experiment(folder, sources):
    folder.claim(Experiment(name="a"), sources)
    sources["space.toml"].write_text("name = 'other'\n")
    assert "space.toml is" in refused(lambda: folder.claim(Experiment(name="a"), sources))


def test_a_second_process_is_told_so_and_changes_nothing(folder):
    script = (
        "import sys; from pathlib import Path; from nasdrop.run_folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).locked(): pass\n"
    )
    with folder.locked():
        done = subprocess.run(
            [sys.executable, "-c", script, str(folder.path)], check=False, capture_output=True, text=True
        )
    assert done.returncode == 1 and "another run is writing here (process" in done.stderr
    with folder.locked():
        pass  # free again


@pytest.mark.parametrize("content", ["", "{", "[]", '{"settings": 1}', '{"sources": {}}'])
def test_a_damaged_identity_is_refused(folder, sources, content):
    folder.path.mkdir()
    folder.identity.write_text(content)
    assert "damaged" in refused(lambda: folder.claim(Experiment(name="a"), sources))
    assert folder.identity.read_text() == content


def test_a_run_without_identity_is_not_overwritten(folder, sources):
    folder.path.mkdir()
    folder.genotype.write_text("{}")
    assert "holds a run but no versions.json" in refused(lambda: folder.claim(Experiment(name="a"), sources))


def test_no_run_folder(folder):
    assert "not a run folder" in refused(folder.read_experiment)
    assert "cannot be read" in refused(lambda: folder.read_json(folder.result))


def test_an_unwritable_place(tmp_path):
    (tmp_path / "file").write_text("")

    def lock():
        with RunFolder(tmp_path / "file" / "run").locked():
            pass

    assert "cannot be written" in refused(lock)


def test_equal_experiments_meet_and_different_ones_do_not(tmp_path, sources):
    path = default_path(Experiment(name="a"), sources, tmp_path)
    assert path.name.startswith("a-") and len(path.name) == 10
    assert default_path(Experiment(name="a", threads=2), sources, tmp_path) == path
    assert default_path(Experiment(name="a", seed=1), sources, tmp_path) != path


def test_set_aside_keeps_every_old_run(tmp_path):
    path = tmp_path / "run"
    assert set_aside(path) is None
    for number in (1, 2):
        path.mkdir()
        assert set_aside(path) == tmp_path / f"run.old{number}"
    assert not path.exists()
