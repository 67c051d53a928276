"""nasdrop: neural architecture search over cells under scheduled drop path.

The public names are imported when they are first used, so that `import nasdrop` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nasdrop.experiment import search as search
    from nasdrop.experiment import train_cell as train_cell
    from nasdrop.exporters import export as export
    from nasdrop.models.fractal import FractalNet as FractalNet
    from nasdrop.models.network import Network as Network
    from nasdrop.models.supernet import SuperNet as SuperNet
    from nasdrop.searchers.result import SearchResult as SearchResult
    from nasdrop.space import Genotype as Genotype
    from nasdrop.space import SearchSpace as SearchSpace
    from nasdrop.train import evaluate as evaluate
    from nasdrop.train import fit as fit

_ROOMS = {
    "FractalNet": "nasdrop.models.fractal",
    "Genotype": "nasdrop.space",
    "Network": "nasdrop.models.network",
    "SearchResult": "nasdrop.searchers.result",
    "SearchSpace": "nasdrop.space",
    "SuperNet": "nasdrop.models.supernet",
    "evaluate": "nasdrop.train",
    "export": "nasdrop.exporters",
    "fit": "nasdrop.train",
    "search": "nasdrop.experiment",
    "train_cell": "nasdrop.experiment",
}

__all__ = [
    "FractalNet",
    "Genotype",
    "Network",
    "SearchResult",
    "SearchSpace",
    "SuperNet",
    "evaluate",
    "export",
    "fit",
    "search",
    "train_cell",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'nasdrop' has no attribute {name!r}")
    return getattr(importlib.import_module(_ROOMS[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
