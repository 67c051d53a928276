"""Table: what others have measured, one row a cell. Reads NAS-Bench-201's packed form (arXiv:2001.00326) and CSV files.

Cells that are equal in canonical form are one cell, worth the row with the lowest index: the rows of one class were
trained apart and differ.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nasdrop.errors import DataError, GenotypeError, suggest
from nasdrop.resources import find
from nasdrop.space import Genotype, SearchSpace
from nasdrop.train.archives import read_npz

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""NAS-Bench-201's, in the order of its rows."""

_MOST_TEXT = 100_000_000  # characters of a CSV file
_SECONDS = "seconds_by_edge"
_STAGES = ((16, 32), (32, 16), (64, 8))  # channels and side of the three stages
_CELLS = 5  # cells a stage
_SIDES = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}
_EMPTY = (73_306, 7_783_050)  # parameters and multiply-adds of the cell of six `none`, 10 additions of a bias included

Column = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Measurements of the cells of one space.

    Args:
        name: where it came from.
        columns: by name one number a row, NaN where nothing was measured; accuracies in percent.
        rows: canonical form of a cell -> the row that it is worth.
        space: the cells' space.
    """

    name: str
    columns: Mapping[str, Column]
    rows: Mapping[str, int]
    space: SearchSpace

    @classmethod
    def load(cls, name_or_path: str | Path, space: SearchSpace) -> "Table":
        """Read a shipped table by its name, or any by the path of its file: `.npz` as shipped, `.csv`, `.csv.gz`.

        A CSV file has a header, a column `arch` with genotypes in any text that `Genotype.read` knows, and columns of
        numbers; `index` orders the rows, and a blank, or a value of 0 or less, means not measured.

        Raises:
            DataError: there is no such table, or it is damaged, or none of its cells is in the space.
        """
        path = find("tables", str(name_or_path))
        genotypes, columns = _read_packed(path) if path.suffix == ".npz" else _read_csv(path)
        order = np.argsort(columns["index"], kind="stable")
        rows: dict[str, int] = {}
        try:
            for row in map(int, order):
                rows.setdefault(space.canonical(genotypes[row]), row)
        except GenotypeError as error:
            raise DataError(*(f"{path}: row {row + 1}: {line}" for line in error.lines)) from None
        return cls(path.name, columns, rows, space)

    def row(self, genotype: Genotype) -> int | None:
        """The row that a cell is worth, or None where its class was not measured."""
        return self.rows.get(self.space.canonical(genotype))

    def column(self, name: str) -> Column:
        """A column by its name.

        Raises:
            DataError: the table has no such column.
        """
        if name not in self.columns:
            raise DataError(f"table {self.name}: has no column {name!r}; {suggest(name, self.columns)}")
        return self.columns[name]

    def describe(self, genotype: Genotype) -> dict[str, float]:
        """Every number that the table holds of a cell; empty where it was not measured."""
        row = self.row(genotype)
        if row is None:
            return {}
        return {name: float(values[row]) for name, values in self.columns.items() if np.isfinite(values[row])}


def pack(path: Path, archs: Sequence[str], columns: Mapping[str, Sequence[str]], seconds: Column) -> None:
    """Write a packed table of NAS-Bench-201: decimal numbers as integers, each byte of them a plane of its own.

    Args:
        path: the `.npz` file.
        archs: the cells' official strings, all 15,625.
        columns: the numbers as they are written, one a cell; empty texts become 0, which means not measured.
        seconds: (6, 5), of an epoch, for each edge in the order of the official string and each of `OPERATIONS`.
    """
    place = {arch: number for number, arch in enumerate(archs)}
    order = [place[arch] for arch in map(_arch, product(OPERATIONS, repeat=6))]
    planes: dict[str, NDArray[np.generic]] = {_SECONDS: seconds}
    for name, texts in columns.items():
        decimals = max(len(text.partition(".")[2]) for text in texts)
        scaled = np.array([round(float(texts[row] or 0) * 10**decimals) for row in order], dtype="<u4")
        planes[f"{name}.{decimals}"] = np.ascontiguousarray(scaled.view(np.uint8).reshape(-1, 4).T)
    np.savez_compressed(path, allow_pickle=False, **planes)


def edge_counts(operation: str) -> tuple[int, int]:
    """Parameters and multiply-adds that an operation adds to NAS-Bench-201's network on each edge of the cell."""
    side = _SIDES.get(operation, 0)
    weights = [(side * side * channels * channels, channels, area * area) for channels, area in _STAGES]
    parameters = sum(kernel + 2 * channels for kernel, channels, _ in weights) if side else 0
    return _CELLS * parameters, _CELLS * sum(kernel * area for kernel, _, area in weights)


def _read_packed(path: Path) -> tuple[list[Genotype], dict[str, Column]]:
    try:
        arrays = read_npz(path)
        seconds = arrays.pop(_SECONDS)
        columns = dict(_unpacked(arrays))
        whole = {"index"} < columns.keys() and {len(values) for values in columns.values()} == {5**6}
    except (ValueError, KeyError, TypeError, OverflowError, IndexError) as error:
        raise DataError(f"{path}: damaged or no packed table ({error})") from None
    if not whole or seconds.shape != (6, 5) or seconds.dtype.kind != "f":
        raise DataError(f"{path}: damaged or no packed table (it must have 15,625 rows in each column)")
    cells = list(product(range(5), repeat=6))
    counts = np.array([edge_counts(name) for name in OPERATIONS])
    totals = np.array([counts[list(cell)].sum(0) for cell in cells]) + _EMPTY
    columns["params_m"], columns["mult_adds_m"] = totals[:, 0] / 1e6, totals[:, 1] / 1e6
    columns["train_seconds_per_epoch"] = seconds[np.arange(6), np.array(cells)].sum(1).round(3)
    texts = map(_arch, product(OPERATIONS, repeat=6))
    return [Genotype.read(text, space="nas_bench_201") for text in texts], columns


def _unpacked(arrays: Mapping[str, NDArray[np.uint8]]) -> Iterator[tuple[str, Column]]:
    for key, planes in arrays.items():
        name, _, decimals = key.rpartition(".")
        numbers = np.ascontiguousarray(planes.T).view("<u4").reshape(-1) / 10.0 ** int(decimals)
        yield name, numbers if name == "index" else _measured(numbers)


def _read_csv(path: Path) -> tuple[list[Genotype], dict[str, Column]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            text = file.read(_MOST_TEXT + 1)
        if len(text) > _MOST_TEXT:
            raise DataError(f"{path}: must hold at most {_MOST_TEXT} characters, got more")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        texts = [row.pop("arch") for row in rows]
        names = list(rows[0])
        columns = {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}
    except DataError:
        raise
    except (OSError, EOFError, KeyError, IndexError, TypeError, ValueError, csv.Error, zlib.error) as error:
        raise DataError(f"{path}: must be a table with a header, a column 'arch' and numbers ({error!r})") from None
    index = columns.pop("index", np.arange(len(rows), dtype=np.float64))
    genotypes = []
    for number, text in enumerate(texts):
        try:
            genotypes.append(Genotype.read(text))
        except GenotypeError as error:
            raise DataError(f"{path}: row {number + 1}: {error.lines[0]}") from None
    return genotypes, {"index": index, **{name: _measured(values) for name, values in columns.items()}}


def _measured(values: Column) -> Column:
    return np.where(values > 0, values, np.nan)


def _arch(operations: Sequence[str]) -> str:
    a, b, c, d, e, f = operations
    return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"
