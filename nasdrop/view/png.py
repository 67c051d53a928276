"""What all PNG pictures share; matplotlib is imported only when one is drawn."""

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure_of(
    width: float, height: float, dots_per_inch: int, layout: Literal["constrained"] | None = None
) -> "Figure":
    """An empty figure, sizes in inches; it belongs to no window system and needs no closing."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=dots_per_inch, layout=layout)


def save(figure: "Figure", target: Path | BinaryIO) -> None:
    """Write a figure as a PNG file; a character that the font lacks becomes a box, which is no reason to warn."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(target, format="png")


def plain(words: str) -> str:
    """Words that matplotlib takes for no formula, and that hold nothing unprintable."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words).replace("$", r"\$")
