"""Texts of a genotype and pictures of its cells."""

from collections.abc import Callable
from pathlib import Path

from nasdrop.errors import InputError, suggest
from nasdrop.files import replacing, write_text
from nasdrop.space import Genotype
from nasdrop.view.cell_png import cell_png
from nasdrop.view.cell_svg import genotype_svg
from nasdrop.view.cell_text import genotype_dot, genotype_mermaid

FORMATS: dict[str, tuple[str, Callable[[Genotype], str]]] = {
    "json": (".json", lambda genotype: genotype.to_text("json")),
    "darts": (".txt", lambda genotype: genotype.to_text("darts")),
    "nas-bench-201": (".txt", lambda genotype: genotype.to_text("nas_bench_201")),
    "svg": (".svg", genotype_svg),
    "dot": (".dot", genotype_dot),
    "mermaid": (".mmd", genotype_mermaid),
}
"""Format -> (file ending, writer)."""
PICTURE = "png"
"""The one format of a genotype that is no text."""


def export(genotype: Genotype, path: Path) -> Path:
    """Write a genotype to a file; the ending chooses: .json, .svg, .png, .dot, .mmd, or .txt for the DARTS text.

    Raises:
        InputError: the ending means no format.
        GenotypeError: the format cannot express this genotype.
    """
    endings = {ending: name for name, (ending, _) in reversed(FORMATS.items())} | {f".{PICTURE}": PICTURE}
    if path.suffix not in endings:
        raise InputError(f"{path}: no format has this ending, got {path.suffix!r}; {suggest(path.suffix, endings)}")
    if endings[path.suffix] != PICTURE:
        write_text(path, text(genotype, endings[path.suffix]))
        return path
    with replacing(path) as temporary:
        temporary.write_bytes(cell_png(genotype))
    return path


def text(genotype: Genotype, name: str) -> str:
    """A genotype in one of FORMATS.

    Raises:
        InputError: there is no such format.
        GenotypeError: the format cannot express this genotype.
    """
    if name not in FORMATS:
        raise InputError(f"format: no such text, got {name!r}; {suggest(name, FORMATS)}")
    content = FORMATS[name][1](genotype)
    return content if content.endswith("\n") else content + "\n"
