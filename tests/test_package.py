"""What a user sees first: the public names, a light import, and a wheel that carries its data."""

import subprocess
import sys
import zipfile

import pytest

import nasdrop
import nasdrop.resources

HEAVY = ("torch", "optuna", "networkx", "numpy", "tensorboard", "matplotlib", "sklearn")


@pytest.mark.parametrize("name", nasdrop.__all__)
def test_public_names_are_there(name):
    assert callable(getattr(nasdrop, name))
    assert name in dir(nasdrop)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = nasdrop.nothing


@pytest.mark.parametrize(
    "line",
    [
        "import nasdrop",
        "from nasdrop.cli import run; run(['--help'])",
        "from nasdrop.cli import run; run(['config', '--help'])",
    ],
)
def test_help_does_not_pay_for_the_heavy_packages(line):
    script = f"{line}\nimport sys; print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


def test_the_wheel_ships_spaces_and_experiments(tmp_path, monkeypatch):
    builder = pytest.importorskip("hatchling.build", reason="the build backend is not installed")
    monkeypatch.chdir(nasdrop.resources.folder("experiments").parent)
    wheel = tmp_path / builder.build_wheel(str(tmp_path))
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"nasdrop/_data/search_spaces/darts.toml", "nasdrop/_data/experiments/digits.toml"} <= names
    assert {f"nasdrop/_data/tables/{name}" for name in ("nas_bench_201_cifar10.npz", "README.md")} <= names
    assert "nasdrop/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]
