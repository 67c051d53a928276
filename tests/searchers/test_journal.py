import json

import optuna
import pytest

from nasdrop.errors import RunFolderError
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


def test_a_lock_left_by_a_dead_process_does_not_delay(journal):
    lock = journal.with_name("study.journal.lock")
    lock.symlink_to(journal)
    assert repair(journal) is None
    assert not lock.is_symlink()
