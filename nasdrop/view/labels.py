"""What the parts of a cell are called, and to which family an operation belongs."""

from collections.abc import Sequence

from nasdrop.errors import GenotypeError
from nasdrop.space.genotype import CellGenotype

FAMILIES = {
    "sep": "separable convolution",
    "dil": "dilated convolution",
    "conv": "convolution",
    "pool": "pooling",
    "skip": "skip connection",
    "none": "no connection",
    "noise": "noise",
    "user": "user's operation",
}

_PREFIXES = {
    "sep_": "sep",
    "dil_": "dil",
    "conv": "conv",
    "nor_conv": "conv",
    "max_pool": "pool",
    "avg_pool": "pool",
    "skip": "skip",
    "identity": "skip",
    "none": "none",
    "zero": "none",
    "noise": "noise",
}


def family(operation: str) -> str:
    """The family of an operation by its name; "user" where the name is none of the shipped ones' kinds."""
    for prefix, name in _PREFIXES.items():
        if operation.startswith(prefix):
            return name
    return "user"


def num_inputs(cell: CellGenotype) -> int:
    """How many nodes of a cell are inputs: nodes are numbered inputs first, and an input is no edge's target."""
    return min((edge.target for edge in cell.edges), default=0)


def input_labels(cell: CellGenotype, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """The names of a cell's inputs, in order: those given, else "cell k-2" and so on, k being the cell itself.

    Raises:
        GenotypeError: not one name an input.
    """
    count = num_inputs(cell)
    if names is None:
        return ("input",) if count == 1 else tuple(f"cell k−{count - index}" for index in range(count))
    if len(names) != count:
        raise GenotypeError(
            f"input_names: one name for each of the {count} inputs of {cell.name!r}, got {list(names)!r}"
        )
    return tuple(names)
