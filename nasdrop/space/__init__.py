"""Search spaces and the genotypes in them: plain data, checked with networkx; nothing here imports torch."""

from nasdrop.space.canonical import nas_bench_201_class
from nasdrop.space.cell_space import CellSpace
from nasdrop.space.cells import CellGenotype, GenotypeEdge
from nasdrop.space.choices import Decision
from nasdrop.space.fractal_space import FractalSpace, load_space
from nasdrop.space.genotype import Genotype
from nasdrop.space.graph import CellGraph, Edge
from nasdrop.space.operations import KNOWN, OPERATIONS, Family
from nasdrop.space.published import PUBLISHED, Published
from nasdrop.space.space import SearchSpace
from nasdrop.space.space_file import OwnOperation

__all__ = [
    "KNOWN",
    "OPERATIONS",
    "PUBLISHED",
    "CellGenotype",
    "CellGraph",
    "CellSpace",
    "Decision",
    "Edge",
    "Family",
    "FractalSpace",
    "Genotype",
    "GenotypeEdge",
    "OwnOperation",
    "Published",
    "SearchSpace",
    "load_space",
    "nas_bench_201_class",
]
