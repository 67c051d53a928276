"""FractalSpace: fractal blocks (FractalNet, arXiv:1605.07648) with their columns, operations and training options.

A genotype is one block, which every place of the network repeats, and the options of the network. All decisions are
categorical; those of convolutions that the chosen number of columns does not have do not count.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from math import prod
from pathlib import Path
from typing import Literal

from nasdrop.errors import GenotypeError, SpaceError, suggest
from nasdrop.resources import find
from nasdrop.space.canonical import canonical_cell
from nasdrop.space.cell_space import CellSpace
from nasdrop.space.choices import Decision, chosen
from nasdrop.space.fractal import BLOCK, MAX_COLUMNS, OPERATIONS, column_operations, fractal_cell, length
from nasdrop.space.fractal_file import is_fractal, read_fractal_file
from nasdrop.space.fractal_options import read_options
from nasdrop.space.genotype import Genotype
from nasdrop.space.graph import operation_mistakes
from nasdrop.space.space import SearchSpace
from nasdrop.space.space_file import OwnOperation, Skeleton

_OF_JOINS = ("join", "p", "global_share")  # what a block of one column has nothing to do with


@dataclass(frozen=True)
class FractalSpace(SearchSpace):
    """Every fractal that a search may find.

    Args:
        name: what genotypes of the space are called after.
        source: the paper it comes from.
        columns: numbers of columns to choose from.
        candidates: operations of a convolution.
        decide: "slot" chooses an operation for each convolution, "depth" one for all that end in one row.
        options: what a genotype holds beside its block, each with its choices; see `fractal_options`.
        path: the file it was loaded from; empty where it was made in Python.

    Raises:
        SpaceError: columns, operations or options break a rule; all, one line each.
    """

    skeleton: Skeleton = field(default="fractal", init=False)
    cell_spaces: tuple[CellSpace, ...] = field(default=(), init=False)
    own_operations: tuple[OwnOperation, ...] = field(default=(), init=False)
    columns: tuple[int, ...] = (3,)
    candidates: tuple[str, ...] = ("conv_3x3",)
    decide: Literal["slot", "depth"] = "slot"
    options: tuple[Decision, ...] = ()

    def __post_init__(self) -> None:
        lines = []
        if not self.columns or len(set(self.columns)) < len(self.columns):
            lines.append(f"columns: must be one number or more, each once, got {list(self.columns)}")
        lines += [
            f"columns: must be from 1 to {MAX_COLUMNS}, got {n}" for n in self.columns if not 1 <= n <= MAX_COLUMNS
        ]
        lines += operation_mistakes("operations", self.candidates, frozenset(OPERATIONS))
        for option in self.options:
            for choice in option.choices:
                try:
                    read_options({option.name: choice})
                except GenotypeError as error:
                    lines += error.lines
        if lines:
            raise SpaceError(*(f"space {self.name}: {line}" for line in lines))

    @classmethod
    def load(cls, name_or_path: str | Path) -> "FractalSpace":
        """Load a shipped space by its name, or any space of fractals by the path of its file.

        Raises:
            SpaceError: there is no such space, or its file has mistakes: all of them, one line each.
        """
        return cls(**read_fractal_file(find("search_spaces", str(name_or_path))))

    @property
    def cell_names(self) -> tuple[str, ...]:
        """The one cell."""
        return (BLOCK,)

    @property
    def candidate_operations(self) -> tuple[str, ...]:
        """Every operation that a genotype may hold."""
        return self.candidates

    @cached_property
    def size(self) -> int:
        """Number of genotypes, exactly."""
        blocks: int = sum(len(self.candidates) ** len(self._names(columns)) for columns in self.columns)
        return blocks * prod(len(option.choices) for option in self.options)

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """The categorical parameters that describe a genotype."""
        every = (
            Decision("columns", tuple(map(str, self.columns))),
            *(Decision(name, self.candidates) for name in self._names(max(self.columns))),
            *self.options,
        )
        return tuple(decision for decision in every if len(decision.choices) > 1)

    def enumerate(self) -> Iterator[Genotype]:
        """Every genotype once, lazily."""
        names = [option.name for option in self.options]
        for columns in self.columns:
            decided = self._names(columns)
            for operations in product(self.candidates, repeat=len(decided)):
                for texts in product(*(option.choices for option in self.options)):
                    chosen = dict(zip((*decided, *names), (*operations, *texts), strict=True))
                    yield self._genotype(columns, chosen)

    def sample(self, rng: random.Random) -> Genotype:
        """A genotype, each equally likely."""
        weights = [len(self.candidates) ** len(self._names(columns)) for columns in self.columns]
        (columns,) = rng.choices(self.columns, weights=weights)
        values = {name: rng.choice(self.candidates) for name in self._names(columns)}
        return self._genotype(columns, values | {option.name: rng.choice(option.choices) for option in self.options})

    def encode(self, genotype: Genotype) -> dict[str, str]:
        """The decisions of a genotype; `decode` gives it back. What does not count shows its first choice.

        Raises:
            GenotypeError: the genotype is not of this space.
        """
        values = self._values(genotype)
        return {decision.name: values.get(decision.name, decision.choices[0]) for decision in self.decisions}

    def decode(self, values: Mapping[str, str]) -> Genotype:
        """The genotype of a set of decisions. Convolutions that the columns do not have do not count.

        Raises:
            GenotypeError: a decision is unknown or missing, or its value is none of its choices.
        """
        choices = {decision.name: decision.choices for decision in self.decisions}
        if unknown := [name for name in values if name not in choices]:
            raise GenotypeError(*(f"decision {name}: is unknown; {suggest(name, choices)}" for name in unknown))
        columns = int(chosen("columns", values, tuple(map(str, self.columns))))
        slots = {name: chosen(name, values, self.candidates) for name in self._names(columns)}
        options = {option.name: chosen(option.name, values, option.choices) for option in self.options}
        return self._genotype(columns, slots | options)

    def mutate(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """A genotype at distance one: a decision drawn among those that matter, then another of its choices.

        Raises:
            GenotypeError: the genotype is not of this space.
            SpaceError: the space has one genotype only.
        """
        moves = list(self._changes(genotype))
        if not moves:
            raise SpaceError(f"{self.name}: a space of one genotype has no mutations")
        return self.decode(rng.choice(rng.choice(moves)))

    def neighbours(self, genotype: Genotype) -> tuple[Genotype, ...]:
        """Every genotype at distance one, without the genotype itself: one decision differs.

        Convolutions that a larger number of columns brings have the first candidate.

        Raises:
            GenotypeError: the genotype is not of this space.
        """
        return tuple(self.decode(values) for move in self._changes(genotype) for values in move)

    def canonical(self, genotype: Genotype) -> str:
        """A text that is equal for genotypes that compute and train the same function.

        Raises:
            GenotypeError: the genotype is not of this space.
        """
        self.validate(genotype)
        (cell,) = genotype.cells
        alone = len(cell.edges) == 1
        options = [f"{name}:{text}" for name, text in genotype.options if not (alone and name in _OF_JOINS)]
        return ",".join([f"{cell.name}:{canonical_cell(cell, 1)}", *options])

    def validate(self, genotype: Genotype) -> None:
        """Check that a genotype belongs to this space; what it calls its space does not matter.

        Raises:
            GenotypeError: all mistakes, one line each.
        """
        self._values(genotype)

    def _slots(self, columns: int) -> dict[tuple[int, int], str]:
        """The decision that each convolution (column, place in it) of a block hangs on."""
        places = [(c, slot) for c in range(columns) for slot in range(2**c)]
        if self.decide == "slot":
            return {(c, slot): f"column{c}.slot{slot + 1}" for c, slot in places}
        return {(c, slot): f"row{(slot + 1) * length(c, columns)}" for c, slot in places}

    def _names(self, columns: int) -> list[str]:
        """The decisions of a block's operations: those of the rows in order, or column by column."""
        if self.decide == "depth":
            return [f"row{row + 1}" for row in range(length(0, columns))]
        return list(self._slots(columns).values())

    def _genotype(self, columns: int, values: Mapping[str, str]) -> Genotype:
        slots = self._slots(columns)
        operations = [[values[slots[c, slot]] for slot in range(2**c)] for c in range(columns)]
        options = tuple((option.name, values[option.name]) for option in self.options)
        return Genotype(self.name, (fractal_cell(operations),), options)

    def _values(self, genotype: Genotype) -> dict[str, str]:
        """Every value that counts by its decision's name, those without a choice too."""
        lines = []
        names = [cell.name for cell in genotype.cells]
        if names != [BLOCK]:
            raise GenotypeError(f"genotype: must have the cell {BLOCK} in space {self.name!r}, got {', '.join(names)}")
        operations = column_operations(genotype.cells[0])
        columns = len(operations)
        if columns not in self.columns:
            lines.append(f"genotype: columns must be one of {list(self.columns)}, got {columns}")
        values = {"columns": str(columns)}
        for (c, slot), name in self._slots(columns).items():
            operation = operations[c][slot]
            if operation not in self.candidates:
                lines.append(f"genotype: {name} must be a candidate operation, got {operation!r}")
            if values.setdefault(name, operation) != operation:
                lines.append(f"genotype: {name} must be one operation in all columns, got {operation!r} too")
        given = dict(genotype.options)
        known = {option.name: option.choices for option in self.options}
        lines += [f"genotype: options.{name} is not of this space" for name in given if name not in known]
        for name, choices in known.items():
            if given.get(name) not in choices:
                lines.append(f"genotype: options.{name} must be one of {', '.join(choices)}, got {given.get(name)!r}")
        if lines:
            raise GenotypeError(*lines)
        return values | given

    def _changes(self, genotype: Genotype) -> Iterator[list[dict[str, str]]]:
        """What changes, by decision: the decisions of the genotypes that differ in it."""
        counting = self._values(genotype)
        values = self.encode(genotype)
        for decision in self.decisions:
            if decision.name in counting:
                others = (choice for choice in decision.choices if choice != values[decision.name])
                yield [values | {decision.name: choice} for choice in others]


def load_space(name_or_path: str | Path) -> SearchSpace:
    """Load a shipped space by its name, or any space by the path of its file, of whatever skeleton it is.

    Raises:
        SpaceError: there is no such space, or its file has mistakes: all of them, one line each.
    """
    path = find("search_spaces", str(name_or_path))
    return FractalSpace.load(path) if is_fractal(path) else SearchSpace.load(path)
