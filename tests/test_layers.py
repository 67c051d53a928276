"""Imports run downwards: a room sees only the rooms below it, and the heavy packages each live in one room."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "nasdrop"
LAYERS = [
    {"errors", "files", "config", "settings", "beside", "own", "resources", "run_folder"},
    {"drop", "space"},
    {"models", "train", "view"},
    {"searchers", "exporters"},
    {"trained"},
    {"retrain"},
    {"announcing", "searching"},
    {"experiment", "proposal"},
    {"prediction", "worker", "reports"},
    {"cli"},
]
SEES = {"models": {"drop", "space"}, "train": {"drop"}, "view": {"space"}, "drop": set(), "space": set()}
ROOM_OF = {
    "optuna": {"searchers"},
    "tensorboard": {"train", "cli"},
    "tensorboard_data_server": {"cli"},
    "networkx": {"space", "view"},
    "click": {"cli"},
    "onnx": {"exporters"},
    "onnxruntime": {"exporters"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "nasdrop")
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downwards(path):
    here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    level = next((number for number, layer in enumerate(LAYERS) if here in layer), None)
    if here in ("__init__", "__main__"):
        return  # the public names, deferred
    assert level is not None, f"{path}: a room without a layer"
    for module in imports(path):
        top = module.split(".")[0]
        assert here in ROOM_OF.get(top, {here}), f"{here} imports {top}"
        there = room(module) if top == "nasdrop" else ""
        if not there or there == here:
            continue
        target = next((number for number, layer in enumerate(LAYERS) if there in layer), None)
        if target is None:
            continue
        below = target < level or (level == 0 and target == 0)
        assert below and (target == 0 or there in SEES.get(here, {there})), f"{here} imports {there}"


def reached(module: str, seen: set[str]) -> set[str]:
    """A module of the package and all that it imports, directly or not."""
    path = PACKAGE.parent / Path(*module.split(".")).with_suffix(".py")
    path = path if path.exists() else path.with_suffix("") / "__init__.py"
    if module in seen or not path.exists() or module == "nasdrop":  # whose public names are deferred
        return seen | {module}
    seen = seen | {module}
    for other in imports(path):
        seen = reached(other, seen)
    return seen


@pytest.mark.parametrize("name", ["evaluators", "inherited", "training", "finals"])
def test_evaluators_never_import_optuna(name):
    modules = reached(f"nasdrop.searchers.{name}", set())
    assert "nasdrop.searchers.training" in modules
    assert not any(module.split(".")[0] == "optuna" for module in modules)
