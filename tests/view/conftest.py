import io
import random
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from rich.console import Console

from nasdrop.space.genotype import CellGenotype, Genotype, GenotypeEdge
from nasdrop.view.terminal import make_console

OPERATIONS = (
    *("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "conv_1x1", "conv_7x1_1x7", "nor_conv_3x3"),
    *("max_pool_3x3", "avg_pool_3x3", "skip_connect", "none", "noise", "my_blur_and_add"),
)


@dataclass(frozen=True)
class Shape:
    inputs: int
    nodes: int
    per_node: int
    cells: tuple[str, ...]
    concat_all: bool


SHAPES = {
    "darts": Shape(2, 4, 2, ("normal", "reduction"), concat_all=True),
    "nasnet": Shape(2, 5, 2, ("normal", "reduction"), concat_all=False),
    "nas_bench_201": Shape(1, 3, 0, ("cell",), concat_all=False),
    "tiny": Shape(2, 2, 2, ("normal",), concat_all=True),
}


@pytest.fixture
def draw() -> Callable[[str, int], Genotype]:
    """A random genotype of a shape; NASNet's may use one edge twice, a `per_node` of 0 keeps every edge."""

    def draw_one(name: str, seed: int) -> Genotype:
        shape, dice = SHAPES[name], random.Random(f"{name} {seed}")

        def cell(title: str) -> CellGenotype:
            edges = []
            for target in range(shape.inputs, shape.inputs + shape.nodes):
                sources = range(target) if not shape.per_node else dice.choices(range(target), k=shape.per_node)
                edges += [GenotypeEdge(source, target, dice.choice(OPERATIONS)) for source in sources]
            read = {edge.source for edge in edges}
            every = range(shape.inputs, shape.inputs + shape.nodes)
            return CellGenotype(title, tuple(edges), tuple(n for n in every if shape.concat_all or n not in read))

        return Genotype(name, tuple(cell(title) for title in shape.cells))

    return draw_one


@pytest.fixture
def darts_v2() -> Genotype:
    return Genotype.read("DARTS_V2")


@pytest.fixture
def hostile() -> Genotype:
    """Names that would break markup, quoting or a terminal if they were not escaped."""
    name = "a\"b<c>&'\\;#]\n\x1b[31m\x00"
    return Genotype('s"<', (CellGenotype(name, (GenotypeEdge(0, 1, name), GenotypeEdge(0, 1, "名" * 40)), (1,)),))


@pytest.fixture
def parse() -> Callable[[str], ET.Element]:
    """An SVG as elements without name spaces."""

    def parse_one(svg: str) -> ET.Element:
        root = ET.fromstring(svg)  # noqa: S314 - our own text
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        return root

    return parse_one


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a piped console of 80 columns prints."""
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def show(*renderables: object, console: Console | None = None) -> str:
        console = console or make_console(io.StringIO())
        for renderable in renderables:
            console.print(renderable)
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    return show
