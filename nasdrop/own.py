"""A user's own Python: an attribute of a file that is run as a module."""

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from nasdrop.errors import InputError, suggest


def load_attribute(source: Path, attribute: str, error: type[InputError]) -> Callable[..., Any]:
    """Run a Python file and give what it calls by a name.

    Args:
        source: the file.
        attribute: the name of something that can be called.
        error: what is raised.

    Raises:
        InputError: of the kind `error`: the file fails to run, or the attribute is missing or cannot be called.
    """
    module = _run(source, error)
    found = getattr(module, attribute, None)
    if found is None:
        public = [known for known in vars(module) if not known.startswith("_")]
        raise error(f"{source}: has no attribute {attribute!r}; {suggest(attribute, public)}")
    if not callable(found):
        raise error(f"{source}: {attribute} must be callable, got {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def _run(source: Path, error: type[InputError]) -> ModuleType:
    """Run a Python file as a module, known to `sys.modules` under a name of its own (data classes look it up there)."""
    digest = hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:12]
    name = f"nasdrop_own_{digest}_{source.stem}"
    spec = importlib.util.spec_from_file_location(name, source)
    if spec is None or spec.loader is None:
        raise error(f"{source}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as fault:
        del sys.modules[name]
        message = " ".join(str(fault).split())
        raise error(f"{source}: cannot be imported: {type(fault).__name__}: {message}") from fault
    return module
