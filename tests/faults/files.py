"""Whether every file that a run has left is whole: each by a reader that is not ours, where there is one."""

import ast
import json
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import torch
from safetensors.torch import load_file

from nasdrop.files import TEMPORARY_PREFIX


def _lines(path: Path) -> None:
    """JSON lines; the last one may be torn, which the next writer cuts off."""
    for line in path.read_bytes().split(b"\n")[:-1]:
        assert isinstance(json.loads(line), dict), line[:80]


def _archive(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


def _checkpoint(path: Path) -> None:
    _archive(path)
    torch.load(path, weights_only=True)


def _onnx(path: Path) -> None:
    import onnx

    onnx.checker.check_model(onnx.load(path))


READERS: dict[str, Callable[[Path], object]] = {
    ".json": lambda path: json.loads(path.read_text()),
    ".jsonl": _lines,
    ".journal": _lines,
    ".toml": lambda path: tomllib.loads(path.read_text()),
    ".svg": lambda path: ElementTree.fromstring(path.read_text()),  # noqa: S314 - written by us
    ".safetensors": load_file,
    ".pt": _checkpoint,
    ".pt2": _archive,
    ".onnx": _onnx,
    ".py": lambda path: ast.parse(path.read_text()),
    ".md": lambda path: path.read_text().endswith("\n") or 1 / 0,
}


def broken(folder: Path) -> Iterator[str]:
    """A line for each file that cannot be read."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith(".") and path.suffix in READERS:
            try:
                READERS[path.suffix](path)
            except Exception as error:  # noqa: BLE001 - whatever a reader raises, the file is broken
                yield f"{path.relative_to(folder)}: broken: {type(error).__name__}: {str(error)[:100]}"


def strays(folder: Path) -> Iterator[str]:
    """A line for each file that a dead writer has left."""
    for path in folder.rglob(f"{TEMPORARY_PREFIX}*"):
        yield f"{path.relative_to(folder)}: left behind"
