"""Optuna's own command and its dashboard read our studies."""

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import pytest

import nasdrop
from nasdrop.searchers.journal import open_journal


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "table"
    nasdrop.search("nas_bench_201_table", "search.trials=8", "search.sampler=random", out=out)
    return out / "study.journal"


def test_the_optuna_command(journal):
    command = [str(Path(sys.executable).parent / "optuna"), "trials", "--storage", str(journal)]
    command += ["--study-name", "nas_bench_201_table", "-f", "json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    trials = json.loads(done.stdout)
    assert len(trials) >= 8
    assert {"normal.node1.from0", "normal.node3.from2"} <= trials[0]["params"].keys()
    assert trials[0]["state"] == "COMPLETE" and trials[0]["user_attrs"]["simulated_seconds"] > 0


def test_the_dashboard(journal):
    dashboard = pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
    app = dashboard.wsgi(open_journal(journal))

    def get(path):
        environ = {"PATH_INFO": path, "wsgi.input": BytesIO()}
        setup_testing_defaults(environ)
        states = []
        parts = app(environ, lambda state, headers, error=None: states.append(state))
        body = b"".join(parts)
        if hasattr(parts, "close"):
            parts.close()
        assert states == ["200 OK"], (path, states)
        return body

    assert b"<title>Optuna Dashboard</title>" in get("/dashboard/")
    summary = json.loads(get("/api/studies"))["study_summaries"][0]
    assert summary["study_name"] == "nas_bench_201_table"
    trials = json.loads(get(f"/api/studies/{summary['study_id']}"))["trials"]
    assert len(trials) >= 8 and trials[0]["state"] == "Complete"
