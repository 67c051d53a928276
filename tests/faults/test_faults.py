"""What is no kill: full and read-only disks, a second writer, other data, losses that are no numbers."""

import hashlib
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from nasdrop import cli
from nasdrop.errors import RunFolderError
from nasdrop.run_folder import RunFolder
from nasdrop.searchers.finals import FinalScore
from tests.faults.files import broken, strays
from tests.faults.kinds import prepare


@pytest.fixture
def inputs(tmp_path):
    prepare(tmp_path / "inputs")
    return tmp_path / "inputs"


@pytest.fixture
def nasdrop(capsys):
    def run(*arguments):
        code = cli.run([str(argument) for argument in arguments])
        said = capsys.readouterr().err
        assert "Traceback" not in said and "tells more" not in said
        return code, [line for line in said.splitlines() if line.startswith("Error: ")]

    return run


def contents(folder):
    return {path: hashlib.sha256(path.read_bytes()).digest() for path in folder.rglob("*") if path.is_file()}


def test_a_second_process_on_a_run_folder_is_told_so_and_touches_nothing(inputs, tmp_path, nasdrop):
    folder = tmp_path / "run"
    search = ("search", inputs / "table.toml", "--out", folder)
    assert nasdrop(*search) == (0, [])
    with RunFolder(folder).locked():
        before = contents(folder)
        for second in (search, ("resume", folder, "search.trials=20"), (*search, "--fresh")):
            code, lines = nasdrop(*second)
            assert code == 2 and len(lines) == 1
            assert f"another run is writing here (process {os.getpid()})" in lines[0]
            assert contents(folder) == before
    assert nasdrop(*search) == (0, [])


def in_namespace(script, *arguments):
    """Run a shell script where it may mount what it likes; skips where the system does not allow that."""
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no private mounts here: `unshare -rm` is refused")
    command = [unshare, "-rm", "sh", "-ec", script, "sh", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)


FULL = """
mount -t tmpfs -o size=64k none "$2"
set +e
"$1" -m nasdrop search "$3" --out "$2/run"; echo "code $?" >&2
mount -o remount,size=4m "$2"
"$1" -m nasdrop search "$3" --out "$2/run"; echo "code $?" >&2
cp -r "$2/run" "$4"
"""


def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(inputs, tmp_path):
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    done = in_namespace(FULL, sys.executable, disk, inputs / "table.toml", kept)
    first, _, second = done.stderr.partition("code 1\n")
    assert second.endswith("code 0\n"), done.stderr
    (line,) = [line for line in first.splitlines() if line.startswith("Error: ")]
    assert "No space left on device" in line and "Traceback" not in done.stderr
    assert [*broken(kept), *strays(kept)] == []


READ_ONLY = """
mount -t tmpfs none "$2"
"$1" -m nasdrop search "$3" --out "$2/run" > /dev/null 2>&1
mount -o remount,ro "$2"
set +e
"$1" -m nasdrop search "$3" --out "$2/run" search.trials=13 > /dev/null; echo "code $?" >&2
"$1" -m nasdrop show "$2/run" > /dev/null; echo "code $?" >&2
"$1" -m nasdrop status "$2/run" > /dev/null; echo "code $?" >&2
"""


def test_a_read_only_run_folder_can_be_looked_at(inputs, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    done = in_namespace(READ_ONLY, sys.executable, disk, inputs / "table.toml")
    first, second, third, _ = done.stderr.split("code ")
    assert "run: cannot be written: Read-only file system" in first and second[0] == "2"
    assert third[0] == "0" and done.stderr.endswith("code 0\n") and "Traceback" not in done.stderr, done.stderr


def test_other_images_under_the_same_name_are_refused_and_nothing_is_changed(inputs, tmp_path, nasdrop):
    folder = tmp_path / "run"
    search = ("search", inputs / "study.toml", "final.seeds=0", "search.trials=1", "--out", folder)
    assert nasdrop(*search) == (0, [])
    before = contents(folder)
    images = dict(np.load(inputs / "images.npz"))
    np.savez(inputs / "images.npz", x=images["x"], y=images["y"][::-1])
    code, lines = nasdrop(*search)
    assert code == 2 and "was begun with other images" in lines[0]
    (inputs / "images.npz").write_bytes((inputs / "images.npz").read_bytes()[:-100])
    code, lines = nasdrop(*search)
    assert code == 2 and "images.npz: cannot be read" in lines[0]
    after = contents(folder)
    assert {path: after[path] for path in before if path.name != ".lock"} == {
        path: digest for path, digest in before.items() if path.name != ".lock"
    }


@pytest.mark.parametrize(
    ("name", "changes", "line"),
    [
        ("study", ["train.learning_rate=1e30", "train.gradient_clip=0"], "no trial ran to its end: "),
        ("gradient", ["search.learning_rate=1e30", "search.gradient_clip=0"], "epoch 1: the training loss must be fin"),
        ("train", ["train.learning_rate=1e30", "train.gradient_clip=0"], "best cell, seed 0: epoch "),
    ],
)
def test_a_loss_that_is_no_number_is_one_line_and_a_failed_run(inputs, tmp_path, nasdrop, name, changes, line):
    given = ("search", inputs / f"{name}.toml", *changes, "train.batch_size=8", "--out", tmp_path / "run")
    code, lines = nasdrop(*given)
    assert code == 1 and len(lines) == 1 and line in lines[0] and "must be finite" in lines[0]


@pytest.mark.parametrize("row", [{}, {"accuracies": []}, {"accuracies": [2.0]}, []])
def test_a_row_of_a_result_that_is_none_is_refused(row):
    whole = {"label": "x", "parameters": 1, "multiply_adds": 1, "seconds": 1, "images": 9}
    with pytest.raises(RunFolderError, match="no row of the final table"):
        FinalScore.from_json(whole | row if row != [] else row)
