import signal
import subprocess
import sys

import pytest

from nasdrop.files import TEMPORARY_PREFIX, replacing, sweep, write_json, write_text


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_the_old_file_and_a_stray_that_is_swept(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    script = (
        "import os, signal, sys; from pathlib import Path; from nasdrop.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert [stray.name.startswith(TEMPORARY_PREFIX) for stray in tmp_path.iterdir() if stray != path] == [True]
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_json_is_readable_by_others(tmp_path):
    path = tmp_path / "new" / "a.json"
    write_json(path, {"b": 1, "a": [1.5]})
    assert path.read_text() == '{\n  "a": [\n    1.5\n  ],\n  "b": 1\n}\n'
    assert path.stat().st_mode & 0o777 == 0o644


def test_what_somebody_writes_is_not_swept_away(tmp_path):
    with replacing(tmp_path / "a.txt") as temporary:
        sweep(tmp_path)
        temporary.write_text("new")
    assert (tmp_path / "a.txt").read_text() == "new"
    assert list(tmp_path.iterdir()) == [tmp_path / "a.txt"]
