"""Cells as text: DOT for Graphviz, Mermaid for Markdown pages, equations and a table for terminals.

DOT and Mermaid show what the SVG shows: an operation box an edge, nodes, the output.
"""

from collections.abc import Iterator, Sequence

from nasdrop.space.genotype import CellGenotype, Genotype
from nasdrop.view.labels import family, input_labels, num_inputs
from nasdrop.view.palette import FAMILY_LIGHT
from nasdrop.view.svg import shorten


def genotype_dot(genotype: Genotype, *, input_names: Sequence[str] | None = None) -> str:
    """The genotype as Graphviz source, a cluster a cell type."""
    lines = [f"digraph {_quoted(genotype.space)} {{", "  rankdir=LR;", '  node [fontname="Helvetica", fontsize=11];']
    for number, cell in enumerate(genotype.cells):
        lines += [f"  subgraph cluster_{number} {{", f"    label={_quoted(cell.name)};"]
        lines += [f"    {line}" for line in _dot_cell(cell, f"c{number}_", input_names)]
        lines.append("  }")
    return "\n".join([*lines, "}", ""])


def genotype_mermaid(genotype: Genotype, *, input_names: Sequence[str] | None = None) -> str:
    """The genotype as a Mermaid flow chart, a subgraph a cell type; operation families as classes."""
    lines = ["flowchart LR"]
    for number, cell in enumerate(genotype.cells):
        lines += [f'  subgraph c{number}["{_entities(cell.name)}"]', "    direction LR"]
        lines += [f"    {line}" for line in _mermaid_cell(cell, f"c{number}_", input_names)]
        lines.append("  end")
    met = {family(edge.operation) for cell in genotype.cells for edge in cell.edges}
    lines += [
        f"  classDef {name} fill:{colours.fill},stroke:{colours.stroke},color:#1d2733"
        for name, colours in FAMILY_LIGHT.items()
        if name in met
    ]
    return "\n".join([*lines, ""])


def genotype_equations(genotype: Genotype, *, width: int = 80, ascii_only: bool = False) -> str:
    """The genotype as sums, one a node: `  2 = sep_conv_3x3(0) + skip_connect(1)`.

    Args:
        genotype: what to write.
        width: longest line, in characters; longer sums are continued on indented lines.
        ascii_only: for terminals that show nothing else.
    """
    lines: list[str] = []
    for cell in genotype.cells:
        inputs = enumerate(_in_ascii(input_labels(cell), ascii_only=ascii_only))
        heading = f"{cell.name}: {', '.join(f'{node} = {name}' for node, name in inputs)}"
        lines += ["", _cut(heading, width, ascii_only=ascii_only)]
        for node in _nodes(cell):
            terms = [f"{edge.operation}({edge.source})" for edge in cell.edges if edge.target == node]
            lines += _sum(f"{node:3} =", terms, width, ascii_only=ascii_only)
        output = f"concat({', '.join(map(str, cell.concat))})" if len(cell.concat) != 1 else str(cell.concat[0])
        lines += _sum("output =", [output], width, ascii_only=ascii_only)
    return "\n".join([*lines[1:], ""])


def genotype_table(genotype: Genotype, *, width: int = 80, ascii_only: bool = False) -> str:
    """The genotype as a table, a row an edge, for a terminal, a pipe or a log.

    Args:
        genotype: what to write.
        width: longest line, in characters.
        ascii_only: for terminals that show nothing else.
    """
    rule = "-" if ascii_only else "─"
    rows = [("cell", "node", "from", "operation")]
    breaks = {1}
    for cell in genotype.cells:
        inputs = _in_ascii(input_labels(cell), ascii_only=ascii_only)
        seen: set[int] = set()
        for edge in sorted(cell.edges, key=lambda edge: edge.target):
            source = f"{edge.source} ({inputs[edge.source]})" if edge.source < len(inputs) else str(edge.source)
            rows.append(
                ("" if seen else cell.name, "" if edge.target in seen else str(edge.target), source, edge.operation)
            )
            seen.add(edge.target)
        word = "concat" if len(cell.concat) != 1 else "node"
        rows.append(("" if seen else cell.name, "out", " ".join(map(str, cell.concat)), word))
        breaks.add(len(rows))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    widths[0] = min(widths[0], width // 4)
    lines = []
    for number, row in enumerate(rows):
        if number in breaks:
            lines.append(rule * min(sum(widths) + 6, width))
        cells = [
            shorten(text, w, _ellipsis(ascii_only=ascii_only)).ljust(w) for text, w in zip(row, widths, strict=True)
        ]
        lines.append(_cut("  ".join(cells).rstrip(), width, ascii_only=ascii_only))
    return "\n".join([*lines, ""])


def _dot_cell(cell: CellGenotype, prefix: str, input_names: Sequence[str] | None) -> Iterator[str]:
    for node, name in enumerate(input_labels(cell, input_names)):
        yield f"{prefix}n{node} [shape=box, style=rounded, label={_quoted(name)}];"
    for node in _nodes(cell):
        yield f'{prefix}n{node} [shape=circle, label="{node}"];'
    for number, edge in enumerate(cell.edges):
        colours = FAMILY_LIGHT[family(edge.operation)]
        look = f'shape=box, style="rounded,filled", fillcolor="{colours.fill}", color="{colours.stroke}"'
        yield f"{prefix}e{number} [{look}, label={_quoted(edge.operation)}];"
        yield f'{prefix}n{edge.source} -> {prefix}e{number} -> {prefix}n{edge.target} [color="{colours.stroke}"];'
    word = "concat" if len(cell.concat) != 1 else "output"
    yield f"{prefix}out [shape=box, label={_quoted(word)}];"
    for node in cell.concat:
        yield f'{prefix}n{node} -> {prefix}out [color="#5d6976"];'


def _mermaid_cell(cell: CellGenotype, prefix: str, input_names: Sequence[str] | None) -> Iterator[str]:
    for node, name in enumerate(input_labels(cell, input_names)):
        yield f'{prefix}n{node}(["{_entities(name)}"])'
    for node in _nodes(cell):
        yield f"{prefix}n{node}(({node}))"
    for number, edge in enumerate(cell.edges):
        box = f'{prefix}e{number}["{_entities(edge.operation)}"]:::{family(edge.operation)}'
        yield f"{prefix}n{edge.source} --> {box} --> {prefix}n{edge.target}"
    yield f'{prefix}out["{"concat" if len(cell.concat) != 1 else "output"}"]'
    for node in cell.concat:
        yield f"{prefix}n{node} --> {prefix}out"


def _nodes(cell: CellGenotype) -> list[int]:
    """The nodes that are no inputs, in order."""
    used = {*cell.concat, *(node for edge in cell.edges for node in (edge.source, edge.target))}
    return sorted(node for node in used if node >= num_inputs(cell))


def _sum(left: str, terms: Sequence[str], width: int, *, ascii_only: bool) -> list[str]:
    """`left a + b + c`, broken before a plus where a line is full."""
    lines, line = [], left
    for number, term in enumerate(terms or ["0"]):
        piece = f" + {term}" if number else f" {term}"
        if number and len(line) + len(piece) > width:
            lines.append(line)
            line = " " * (len(left) - 1) + piece
        else:
            line += piece
    return [_cut(text, width, ascii_only=ascii_only) for text in [*lines, line]]


def _cut(line: str, width: int, *, ascii_only: bool) -> str:
    """A line that keeps its beginning; control characters become question marks, others are escaped in ASCII."""
    line = "".join(character if character.isprintable() else "?" for character in line)
    line = line.encode("ascii", "backslashreplace").decode("ascii") if ascii_only else line
    ellipsis = _ellipsis(ascii_only=ascii_only)
    return line if len(line) <= width else line[: width - len(ellipsis)] + ellipsis


def _ellipsis(*, ascii_only: bool) -> str:
    return "..." if ascii_only else "…"


def _in_ascii(names: Sequence[str], *, ascii_only: bool) -> list[str]:
    return [name.replace("−", "-") for name in names] if ascii_only else list(names)


def _quoted(text: str) -> str:
    """A DOT string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _entities(text: str) -> str:
    """Text inside a Mermaid label: entity codes for whatever could end it."""
    return "".join(c if c.isalnum() or c in " _-.,+−" else f"#{ord(c)};" for c in text)
