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
        reference: `module:attribute`.
        file: the search space's file, or any other beside which `module.py` lies.

    Raises:
        SpaceError: the reference is not of that form, its file is missing or fails to run, or the attribute is missing
            or cannot be called.
    """
    name, _, attribute = reference.partition(":")
    if not (name.isidentifier() and attribute.isidentifier()):
        raise SpaceError(f"operations: must read 'module:attribute', got {reference!r}")
    source = file.parent / f"{name}.py"
    if not source.is_file():
        raise SpaceError(f"operations: the module must lie beside the space's file, got {reference!r} and no {source}")
    module = _run(source)
    builder = getattr(module, attribute, None)
    if builder is None:
        public = [known for known in vars(module) if not known.startswith("_")]
        raise SpaceError(f"{source}: has no attribute {attribute!r}; {suggest(attribute, public)}")
    if not callable(builder):
        raise SpaceError(f"{source}: {attribute} must be callable, got {type(builder).__name__}")
    return cast(Builder, builder)


def _run(source: Path) -> ModuleType:
    """Run a Python file as a module, known to `sys.modules` under a name of its own (data classes look it up there)."""
    digest = hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:12]
    name = f"nasdrop_operations_{digest}_{source.stem}"
    spec = importlib.util.spec_from_file_location(name, source)
    if spec is None or spec.loader is None:
        raise SpaceError(f"{source}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        message = " ".join(str(error).split())
        raise SpaceError(f"{source}: cannot be imported: {type(error).__name__}: {message}") from error
    return module
