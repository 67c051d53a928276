"""A user's own operations: `module:attribute`, imported from a file beside the search space's file.

The attribute is called as `attribute(channels, stride, ndim=..., affine=...)` and returns a `torch.nn.Module` that maps
(N, C, *S) to (N, C, *ceil(S / stride)).
"""

from pathlib import Path

from nasdrop.errors import SpaceError
from nasdrop.models.ops import Builder
from nasdrop.own import load_attribute


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
    return load_attribute(source, attribute, SpaceError)
