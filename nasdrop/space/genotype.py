"""Genotype: a discovered architecture as a frozen, hashable value, and the texts it is read from and written to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nasdrop.errors import GenotypeError, suggest
from nasdrop.space.cells import CellGenotype, GenotypeEdge, loose_ends
from nasdrop.space.document import read_json, write_json
from nasdrop.space.formats import DARTS_START, read_darts, read_nas_bench_201, write_darts, write_nas_bench_201
from nasdrop.space.published import PUBLISHED
from nasdrop.space.tokens import excerpt

__all__ = ["CellGenotype", "Format", "Genotype", "GenotypeEdge", "loose_ends"]

Format = Literal["json", "darts", "nas_bench_201"]

MAX_TEXT = 1_000_000
"""Characters of the longest text that is looked at."""

_MAX_PATH = 4096


@dataclass(frozen=True)
class Genotype:
    """A discovered architecture: the cells that a network repeats.

    Args:
        space: name of the search space that it was read for or found in.
        cells: its cells, in the order of the space.
        options: what it says beside its cells, as pairs of texts; held in the order of their names.
    """

    space: str
    cells: tuple[CellGenotype, ...]
    options: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "cells", tuple(self.cells))
        object.__setattr__(self, "options", tuple(sorted(self.options)))

    def __getitem__(self, name: str) -> CellGenotype:
        for cell in self.cells:
            if cell.name == name:
                return cell
        known = [cell.name for cell in self.cells]
        raise GenotypeError(f"genotype: must have a cell of that name, got {name!r}; {suggest(name, known)}")

    @classmethod
    def read(cls, text_or_path: str | Path, *, space: str = "") -> "Genotype":
        """Read a genotype from a text, a file or a published name; the format is recognised.

        Args:
            text_or_path: our JSON, the DARTS text, the NAS-Bench-201 string, the path of a file that holds one of them,
                or a published name such as "DARTS_V2".
            space: name of its search space; empty: what the text says or, where it does not, what its format is of.

        Raises:
            GenotypeError: it is none of these, or breaks its format's rules.
        """
        if isinstance(text_or_path, Path):
            return cls._read_file(text_or_path, space)
        text = text_or_path.strip()
        if text in PUBLISHED:
            published = PUBLISHED[text]
            return cls._read_text(published.text, text, space or published.space)
        if _looks_like_text(text):
            return cls._read_text(text, "genotype text", space)
        if 0 < len(text) < _MAX_PATH and text.isprintable() and _is_file(Path(text)):
            return cls._read_file(Path(text), space)
        raise GenotypeError(
            "genotype: must be a file, a published name, or a text in JSON, DARTS or NAS-Bench-201 form, "
            f"got {excerpt(text)}; {suggest(text[:50], PUBLISHED)}"
        )

    @classmethod
    def from_json(cls, text: str) -> "Genotype":
        """Read our JSON.

        Raises:
            GenotypeError: the text is not JSON or breaks the schema.
        """
        return cls(*read_json(_limited(text, "genotype JSON"), "genotype JSON"))

    def to_json(self) -> str:
        """Our JSON: versioned, one edge a line."""
        return write_json(self.space, self.cells, self.options)

    def to_text(self, form: Format = "json") -> str:
        """The genotype in one of the formats that `read` knows.

        Raises:
            GenotypeError: the form is unknown, or cannot hold this genotype.
        """
        writers = {"json": self.to_json, "darts": self._to_darts, "nas_bench_201": self._to_nas_bench_201}
        if form not in writers:
            raise GenotypeError(f"form: must be a text format, got {form!r}; {suggest(form, writers)}")
        return writers[form]()

    def _without_options(self, form: str) -> tuple[CellGenotype, ...]:
        """The cells, for a text that has no room for more."""
        if self.options:
            raise GenotypeError(f"{form} text: holds cells alone, got options {dict(self.options)}")
        return self.cells

    def _to_darts(self) -> str:
        return write_darts(self._without_options("DARTS"))

    def _to_nas_bench_201(self) -> str:
        return write_nas_bench_201(self._without_options("NAS-Bench-201"))

    @classmethod
    def _read_file(cls, path: Path, space: str) -> "Genotype":
        try:
            with path.open(encoding="utf-8") as file:
                text = file.read(MAX_TEXT + 1)
        except OSError as error:
            raise GenotypeError(f"{path}: cannot be read: {error.strerror or error}") from None
        except UnicodeDecodeError as error:
            raise GenotypeError(f"{path}: must be UTF-8 text, got byte {error.object[error.start]:#04x}") from None
        return cls._read_text(text.strip(), str(path), space)

    @classmethod
    def _read_text(cls, text: str, place: str, space: str) -> "Genotype":
        text = _limited(text, place)
        if text.startswith("{"):
            named, cells, options = read_json(text, place)
            return cls(space or named, cells, options)
        if text.startswith("|"):
            return cls(space or "nas_bench_201", read_nas_bench_201(text, place))
        if DARTS_START.match(text):
            return cls(space or "darts", read_darts(text, place))
        raise GenotypeError(
            f"{place}: must be a genotype in JSON ({{...), DARTS (Genotype(...) or NAS-Bench-201 (|...) form, "
            f"got {excerpt(text)}"
        )


def _looks_like_text(text: str) -> bool:
    return text.startswith(("{", "|")) or DARTS_START.match(text) is not None


def _limited(text: str, place: str) -> str:
    if len(text) > MAX_TEXT:
        raise GenotypeError(f"{place}: must have at most {MAX_TEXT} characters, got more")
    return text


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the system allows
        return False
