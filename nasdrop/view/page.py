"""Pages: sections of facts, tables, pictures and texts as one HTML file that needs nothing else.

The file asks for nothing, runs no script, follows the reader's light or dark setting, and prints in light colours.
Everything but our own pictures is escaped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from nasdrop.view.palette import (
    GRID_DARK,
    GRID_LIGHT,
    INK_DARK,
    INK_LIGHT,
    MUTED_DARK,
    MUTED_LIGHT,
    PANEL_DARK,
    PANEL_LIGHT,
    SERIES_DARK,
    SERIES_LIGHT,
)
from nasdrop.view.svg import FONT

_COLOURS = {
    "light": (INK_LIGHT, MUTED_LIGHT, PANEL_LIGHT.fill, "#f6f8fa", GRID_LIGHT, SERIES_LIGHT[0]),
    "dark": (INK_DARK, MUTED_DARK, PANEL_DARK.fill, "#0b0f14", GRID_DARK, SERIES_DARK[0]),
}
_NAMES = ("ink", "muted", "panel", "ground", "rule", "accent")


@dataclass(frozen=True)
class Bar:
    """A table's cell: a share as a number, and as a bar beside that of the largest, `most`."""

    share: float
    most: float = 1.0

    @property
    def width(self) -> str:
        """Of the bar, in percent."""
        return f"{100 * min(max(self.share / self.most, 0.0), 1.0):.1f}"


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    kind: ClassVar[str] = "facts"
    rows: Sequence[tuple[str, object]]


@dataclass(frozen=True)
class Table:
    """Rows under headings; columns of numbers are set to the right.

    Args:
        headers: one a column.
        rows: cells are words, numbers or `Bar`.
        caption: what the reader should know about the numbers.
        strong: how many of the first rows stand out.
    """

    kind: ClassVar[str] = "table"
    headers: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""
    strong: int = 0

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold numbers only, or nothing."""
        return tuple(
            bool(self.rows) and all(_is_number(row[column]) for row in self.rows) for column in range(len(self.headers))
        )


@dataclass(frozen=True)
class Picture:
    """One of our own SVGs."""

    kind: ClassVar[str] = "picture"
    svg: str
    caption: str = ""

    @property
    def markup(self) -> Markup:
        """The picture as it goes into a page."""
        return Markup(self.svg)


@dataclass(frozen=True)
class Listing:
    """A text as it is; with a summary it is folded away until the reader opens it."""

    kind: ClassVar[str] = "listing"
    text: str
    summary: str = ""


@dataclass(frozen=True)
class Note:
    """A sentence."""

    kind: ClassVar[str] = "note"
    text: str


Block = Facts | Table | Picture | Listing | Note


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Part:
    """Sections under a common heading: a run, or what is said of all."""

    title: str
    sections: Sequence[Section]
    subtitle: str = ""


@dataclass(frozen=True)
class Page:
    """A whole page.

    Args:
        title: heading and name of the window.
        parts: from top to bottom.
        footer: last line.
    """

    title: str
    parts: Sequence[Part]
    footer: str = ""

    def html(self) -> str:
        """The page as HTML."""
        environment = Environment(
            loader=PackageLoader("nasdrop.view", "."),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        colours = {theme: dict(zip(_NAMES, values, strict=True)) for theme, values in _COLOURS.items()}
        return environment.get_template("page.html.j2").render(page=self, colours=colours, font=Markup(FONT))


def _is_number(cell: object) -> bool:
    if isinstance(cell, Bar):
        return False
    words = str(cell).replace("%", "").replace("±", " ").replace(",", "").split()
    try:
        return bool(list(map(float, words))) or str(cell) in ("", "-", "–")
    except ValueError:
        return str(cell) in ("", "-", "–")
