import subprocess
import sys

import pytest

from nasdrop.errors import RunFolderError
from nasdrop.run_folder import RunFolder
from nasdrop.searchers.trainings import Trainings


@pytest.fixture
def store(tmp_path):
    with Trainings(RunFolder(tmp_path)) as store:
        yield store


OTHER = """
import sys
from pathlib import Path
from nasdrop.run_folder import RunFolder
from nasdrop.searchers.trainings import Trainings
with Trainings(RunFolder(Path(sys.argv[1]))) as store:
    for job in (0, 1):
        with store.claimed(job) as mine:
            if mine:
                store.add(f"job {job}", {"accuracy": 0.5})
"""


def test_what_one_process_has_claimed_no_other_does_and_both_add(store, tmp_path):
    with store.claimed(0) as mine:
        assert mine
        subprocess.run([sys.executable, "-c", OTHER, str(tmp_path)], check=True)
        store.add("job 0", {"accuracy": 0.9})
    assert store.known() == {"job 0": {"accuracy": 0.9}, "job 1": {"accuracy": 0.5}}
    subprocess.run([sys.executable, "-c", OTHER, str(tmp_path)], check=True)
    assert store.known()["job 0"] == {"accuracy": 0.5}  # given back


def test_a_damaged_result_file_is_told(store, tmp_path):
    assert store.known() == {}
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(RunFolderError, match="damaged"):
        store.known()
