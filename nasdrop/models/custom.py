"""A user's own operations: `module:attribute`, imported from a file beside the search space's file.

The attribute is called as `attribute(channels, stride, ndim=..., affine=...)` and returns a `torch.nn.Module` that maps
(N, C, *S) to (N, C, *ceil(S / stride)).
"""

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import cast

from nasdrop.errors import SpaceError, suggest
from nasdrop.models.ops import Builder


def load_custom(reference: str, file: Path) -> Builder:
    """Import a user's operation.

    Args:
        reference: `module:attribute`; the module is the file `module.py` beside `file`.
        file: the search space's file.

    Raises:
        SpaceError: the reference is not of that form, its file is missing or fails to run, or the attribute is missing
            or cannot be called.
    """
    place = f"{file}: operations"
    name, _, attribute = reference.partition(":")
    if not (name.isidentifier() and attribute.isidentifier()):
        raise SpaceError(f"{place}: an operation is written module:attribute, got {reference!r}")
    source = file.parent / f"{name}.py"
    if not source.is_file():
        raise SpaceError(f"{place}: {source} must be a file, got {reference!r}")
    module = _run(source, place)
    builder = getattr(module, attribute, None)
    if builder is None:
        public = [known for known in vars(module) if not known.startswith("_")]
        raise SpaceError(f"{place}: {source} has no attribute {attribute!r}; {suggest(attribute, public)}")
    if not callable(builder):
        raise SpaceError(f"{place}: {reference!r} must be callable, got {type(builder).__name__}")
    return cast(Builder, builder)


def _run(source: Path, place: str) -> ModuleType:
    """Run a Python file as a module, known to `sys.modules` under a name of its own (data classes look it up there)."""
    digest = hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:12]
    name = f"nasdrop_operations_{digest}_{source.stem}"
    spec = importlib.util.spec_from_file_location(name, source)
    if spec is None or spec.loader is None:
        raise SpaceError(f"{place}: {source} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # noqa: BLE001 - a user's file can raise anything, and all of it is the user's to mend
        del sys.modules[name]
        message = " ".join(str(error).split())
        raise SpaceError(f"{place}: {source} cannot be imported: {type(error).__name__}: {message}") from error
    return module
