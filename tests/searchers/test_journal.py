import json
import os
import subprocess
import sys

import optuna
import pytest

from nasdrop.errors import RunError, RunFolderError
from nasdrop.searchers.journal import open_journal, repair


@pytest.fixture
def journal(tmp_path):
    path = tmp_path / "study.journal"
    study = optuna.create_study(storage=open_journal(path), study_name="s", direction="maximize")
    for value in range(3):
        trial = study.ask()
        trial.suggest_categorical("a", ("x", "y"))
        study.tell(trial, float(value))
    return path


def trials(path):
    return optuna.load_study(storage=open_journal(path), study_name="s").trials


def test_a_whole_journal_is_left_alone(journal):
    before = journal.read_bytes()
    assert repair(journal) is None
    assert journal.read_bytes() == before
    assert repair(journal.with_name("none")) is None


def test_a_torn_last_line_is_cut_wherever_the_write_stopped(journal, tmp_path):
    content = journal.read_bytes()
    start = content[:-1].rindex(b"\n") + 1
    for end in range(start + 1, len(content)):
        journal.write_bytes(content[:end])
        line = repair(journal)
        assert line is not None and "\n" not in line and f"{end - start} bytes" in line
        assert journal.read_bytes() == content[:start]
        (kept,) = tmp_path.glob("*.torn1")
        assert kept.read_bytes() == content[:end]
        kept.unlink()
    assert len(trials(journal)) == 3
    optuna.load_study(storage=open_journal(journal), study_name="s").ask()  # and it can be written again


def test_originals_never_overwrite_each_other(journal, tmp_path):
    for _ in range(2):
        with journal.open("ab") as file:
            file.write(b'{"op_code":')
        repair(journal)
    assert {path.name for path in tmp_path.glob("*.torn*")} == {"study.journal.torn1", "study.journal.torn2"}


@pytest.mark.parametrize("damage", [b"not json\n", b"[]\n", b'{"op_code":\n', b"\x00\xff\n"])
def test_damage_in_the_middle_is_refused_and_nothing_is_changed(journal, tmp_path, damage):
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:2], damage, *lines[2:]]))
    before = journal.read_bytes()
    with pytest.raises(RunFolderError, match=r"study.journal: line 3: damaged"):
        repair(journal)
    assert journal.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["study.journal"]


def test_json_that_is_no_journal_is_refused(tmp_path):
    path = tmp_path / "study.journal"
    path.write_text(json.dumps({"hello": 1}) + "\n")
    with pytest.raises(RunFolderError, match=r"damaged: Optuna cannot replay it"):
        open_journal(path)


def test_a_lock_that_another_tool_left_does_not_delay(journal):
    journal.with_name("study.journal.lock").symlink_to(journal)
    assert repair(journal) is None
    optuna.load_study(storage=open_journal(journal), study_name="s").ask()


KILLED_WRITER = """
import fcntl, os, signal, sys
file = open(sys.argv[1], "ab", buffering=0)
fcntl.flock(file, fcntl.LOCK_EX)
file.write(b'{"op_code":6,"wor')
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_writer_killed_in_the_middle_of_a_line_stops_nobody(journal):
    study = optuna.load_study(storage=open_journal(journal), study_name="s")
    subprocess.run([sys.executable, "-c", KILLED_WRITER, str(journal)], check=False)
    assert not journal.read_bytes().endswith(b"\n")
    study.tell(study.ask(), 7.0)  # a process that had the journal open goes on
    assert [trial.value for trial in trials(journal)] == [0.0, 1.0, 2.0, 7.0]  # and one that opens it now reads all
    assert repair(journal) is None


def test_what_is_told_is_on_the_disk(journal, monkeypatch):
    study = optuna.load_study(storage=open_journal(journal), study_name="s")
    forced = []
    monkeypatch.setattr(os, "fsync", lambda handle: forced.append(os.fstat(handle).st_size))
    trial = study.ask()
    trial.set_user_attr("a", 1)
    trial.report(0.5, 1)
    assert forced == []
    study.tell(trial, 1.0)
    study.enqueue_trial({"a": "x"})
    assert len(forced) == 2 and forced[-1] == journal.stat().st_size


def test_a_full_disk_is_told_and_leaves_whole_lines(journal, monkeypatch):
    study = optuna.load_study(storage=open_journal(journal), study_name="s")
    before = journal.read_bytes()

    def half(file, content):
        file.write(content[:5])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(RunError, match="cannot be written: No space left"):
        patch.setattr("nasdrop.searchers.journal._write", half)
        study.ask()
    assert journal.read_bytes() == before
    assert study.ask().number == 3
