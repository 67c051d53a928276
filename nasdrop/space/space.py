"""SearchSpace: every architecture that a search may find; loaded from a TOML file, or made in Python."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from math import prod
from pathlib import Path

from nasdrop.errors import GenotypeError, SpaceError, suggest
from nasdrop.resources import find
from nasdrop.space.canonical import canonical_cell
from nasdrop.space.cell_space import CellSpace
from nasdrop.space.cell_table import SKELETONS
from nasdrop.space.cells import CellGenotype
from nasdrop.space.choices import Decision, Option, combined
from nasdrop.space.genotype import Genotype
from nasdrop.space.graph import operation_mistakes
from nasdrop.space.operations import KNOWN
from nasdrop.space.space_file import OwnOperation, Skeleton, read_space_file

_FEW = 100_000


@dataclass(frozen=True)
class SearchSpace:
    """Every architecture that a search may find.

    Args:
        name: what genotypes of the space are called after.
        source: the paper it comes from.
        skeleton: what surrounds the cells: "darts" or "nas_bench_201" ("fractal" in FractalSpace).
        cell_spaces: its kinds of cells.
        own_operations: a user's operations, as data.
        path: the file it was loaded from; empty where it was made in Python.

    Raises:
        SpaceError: cells that the skeleton does not have, or operations that nobody knows; all, one line each.
    """

    name: str
    source: str
    skeleton: Skeleton
    cell_spaces: tuple[CellSpace, ...]
    own_operations: tuple[OwnOperation, ...] = ()
    path: Path = field(default=Path(), compare=False)

    def __post_init__(self) -> None:
        wanted = SKELETONS[self.skeleton]
        names = tuple(cell.name for cell in self.cell_spaces)
        known = KNOWN | {operation.name for operation in self.own_operations}
        lines = []
        if names != wanted.cells:
            lines.append(f"skeleton {self.skeleton!r} has the cells {', '.join(wanted.cells)}, got {', '.join(names)}")
        for cell in self.cell_spaces:
            if cell.graph.num_inputs != wanted.inputs:
                lines.append(f"cell {cell.name}: must have {wanted.inputs} inputs, got {cell.graph.num_inputs}")
            lines += operation_mistakes(f"cell {cell.name}: operations", cell.operations, known)
        if lines:
            raise SpaceError(*(f"space {self.name}: {line}" for line in lines))

    @classmethod
    def load(cls, name_or_path: str | Path) -> "SearchSpace":
        """Load a shipped space by its name, or any space by the path of its file.

        Raises:
            SpaceError: there is no such space, or its file has mistakes: all of them, one line each.
        """
        path = find("search_spaces", str(name_or_path))
        said = read_space_file(path)
        return cls(said.name, said.source, said.skeleton, said.cells, said.own_operations, path)

    @cached_property
    def cells(self) -> dict[str, CellSpace]:
        """The kinds of cells by name."""
        return {cell.name: cell for cell in self.cell_spaces}

    @property
    def cell_names(self) -> tuple[str, ...]:
        """What a genotype's cells are called."""
        return tuple(self.cells)

    @property
    def candidate_operations(self) -> tuple[str, ...]:
        """Every candidate operation, supernet-only ones included, in the order of first use."""
        return tuple(dict.fromkeys(name for cell in self.cell_spaces for name in cell.operations))

    @property
    def operations(self) -> dict[str, str]:
        """A user's own operations: name -> "module:attribute", the module a file beside the space's file."""
        return {operation.name: str(operation) for operation in self.own_operations}

    @property
    def source_files(self) -> tuple[Path, ...]:
        """Every file that the space is made of: its TOML file and its own operations' modules."""
        toml = (self.path,) if self.path.name else ()
        return tuple(dict.fromkeys((*toml, *(operation.file for operation in self.own_operations))))

    @cached_property
    def size(self) -> int:
        """Number of genotypes, exactly."""
        return prod(cell.size for cell in self.cell_spaces)

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """The categorical parameters that describe a genotype."""
        return tuple(decision for cell in self.cell_spaces for decision in cell.decisions)

    def enumerate(self) -> Iterator[Genotype]:
        """Every genotype once, lazily."""
        return (Genotype(self.name, cells) for cells in combined([_every(cell) for cell in self.cell_spaces]))

    def sample(self, rng: random.Random) -> Genotype:
        """A genotype, each equally likely."""
        return Genotype(self.name, tuple(cell.sample(rng) for cell in self.cell_spaces))

    def encode(self, genotype: Genotype) -> dict[str, str]:
        """The decisions of a genotype; `decode` gives it back.

        Raises:
            GenotypeError: the genotype is not of this space.
        """
        self.validate(genotype)
        parts = [cell.encode(genotype[cell.name]) for cell in self.cell_spaces]
        return {name: value for part in parts for name, value in part.items()}

    def decode(self, values: Mapping[str, str]) -> Genotype:
        """The genotype of a set of decisions. Slots of edges that are not kept do not count.

        Raises:
            GenotypeError: a decision is unknown or missing, or its value is none of its choices.
        """
        known = [decision.name for decision in self.decisions]
        unknown = [name for name in values if name not in known]
        if unknown:
            raise GenotypeError(*(f"decision {name}: is unknown; {suggest(name, known)}" for name in unknown))
        return Genotype(self.name, tuple(cell.decode(values) for cell in self.cell_spaces))

    def mutate(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """A genotype at distance one: a decision drawn among those that matter, then another of its choices.

        Raises:
            GenotypeError: the genotype is not of this space.
            SpaceError: the space has one genotype only.
        """
        moves = list(self._moves(genotype))
        if not moves:
            raise SpaceError(f"{self.name}: a space of one genotype has no mutations")
        cell, node, options = rng.choice(moves)
        return self._moved(genotype, cell, node, rng.choice(options))

    def neighbours(self, genotype: Genotype) -> tuple[Genotype, ...]:
        """Every genotype at distance one, without the genotype itself: one decision differs.

        Where a change of inputs newly keeps an edge with a slot of its own, each of its operations is a neighbour.

        Raises:
            GenotypeError: the genotype is not of this space.
        """
        changes = ((cell, node, option) for cell, node, options in self._moves(genotype) for option in options)
        return tuple(self._moved(genotype, *change) for change in dict.fromkeys(changes))

    def canonical(self, genotype: Genotype) -> str:
        """A text that is equal for genotypes that compute the same function; see nasdrop.space.canonical.

        Raises:
            GenotypeError: the genotype is not of this space.
        """
        self.validate(genotype)
        forms = (
            (cell.name, canonical_cell(genotype[cell.name], cell.graph.num_inputs, strided=cell.strided))
            for cell in self.cell_spaces
        )
        return ",".join(f"{name}:{form}" for name, form in forms)

    def validate(self, genotype: Genotype) -> None:
        """Check that a genotype belongs to this space; what it calls its space does not matter.

        Raises:
            GenotypeError: all mistakes, one line each.
        """
        names = [cell.name for cell in genotype.cells]
        if names != list(self.cells):
            wanted = ", ".join(self.cells)
            raise GenotypeError(
                f"genotype: must have the cells {wanted} in space {self.name!r}, got {', '.join(names)}"
            )
        pairs = zip(self.cell_spaces, genotype.cells, strict=True)
        lines = [f"genotype: {problem}" for space, cell in pairs for problem in space.problems(cell)]
        if genotype.options:
            lines.append(f"genotype: must have no options in space {self.name!r}, got {dict(genotype.options)}")
        if lines:
            raise GenotypeError(*lines)

    def _moves(self, genotype: Genotype) -> Iterator[tuple[int, int, tuple[Option, ...]]]:
        """What changes, by decision: (index of a cell, index of a node, the node's new options)."""
        self.validate(genotype)
        for index, space in enumerate(self.cell_spaces):
            for node, options in space.moves(genotype.cells[index]):
                yield index, node, options

    def _moved(self, genotype: Genotype, index: int, node: int, option: Option) -> Genotype:
        cell = self.cell_spaces[index].moved(genotype.cells[index], node, option)
        return Genotype(self.name, (*genotype.cells[:index], cell, *genotype.cells[index + 1 :]))


def _every(cell: CellSpace) -> Callable[[], Iterator[CellGenotype]]:
    """All cells of one kind, as often as they are asked for; kept in memory where they are few."""
    return partial(iter, tuple(cell.enumerate())) if cell.size <= _FEW else cell.enumerate
