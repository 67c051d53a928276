import ast
import re
from pathlib import Path

import pytest

from nasdrop.errors import SpaceError
from nasdrop.space import SearchSpace
from nasdrop.space.space_file import read_space_file

OWN = """
[cells.normal]
inputs = 2
nodes = 1
operations = ["skip_connect", "blur"]
"""


def mistakes(path):
    with pytest.raises(SpaceError) as caught:
        SearchSpace.load(path)
    assert caught.value.exit_code == 2
    assert all(line.startswith(f"{path}: ") for line in caught.value.lines)
    return [line.removeprefix(f"{path}: ") for line in caught.value.lines]


def test_a_file_of_ones_own_works_like_a_shipped_one(write_space):
    path = write_space()
    said = read_space_file(path)
    assert (said.name, said.source, said.skeleton, said.own_operations) == ("own", "", "darts", ())
    assert [cell.name for cell in said.cells] == ["normal", "reduction"]
    assert SearchSpace.load(path).size == (4 * 3 * 4) ** 2


def test_own_operations_are_data(write_space):
    path = write_space(normal=OWN, head='[operations]\nblur = "my_ops:Blur"')
    module = path.parent / "my_ops.py"
    module.write_text("raise RuntimeError('imported')")
    space = SearchSpace.load(path)
    (own,) = space.own_operations
    assert own == ("blur", "my_ops", "Blur", module)
    assert space.operations == {"blur": "my_ops:Blur"}
    assert space.source_files == (path, module)
    assert space.size == 4 * (4 * 3 * 4)


def test_an_own_operation_that_cannot_be(write_space):
    head = """[operations]
blur = "my_ops:Blur"
"my-op" = "my_ops:Blur"
none = "my_ops:Blur"
other = "my_ops"
dotted = "my.ops:Blur"
number = 3"""
    path = write_space(normal=OWN, head=head)
    assert mistakes(path) == [
        "operations.blur: its module must lie beside the space's file, got 'my_ops:Blur' and no "
        f"{path.parent / 'my_ops.py'}",
        "operations.my-op: an operation's name must be letters, digits and _, got 'my-op'",
        "operations.none: must not take the name of a known operation, got 'none'",
        "operations.other: must read 'module:attribute', got 'my_ops'",
        "operations.dotted: must read 'module:attribute', got 'my.ops:Blur'",
        "operations.number: must be a valid string, got 3",
    ]


def test_an_own_operation_that_no_cell_uses(write_space):
    path = write_space(head='[operations]\nblur = "my_ops:Blur"')
    (path.parent / "my_ops.py").touch()
    assert mistakes(path) == ["operations.blur: is used in no cell"]


def test_all_mistakes_of_a_file_at_once(write_space):
    path = write_space(normal=OWN, reduction="[cells.reduce]\ninputs = 2", head="sauce = 'x'", name="X")
    assert mistakes(path) == [
        "cells.reduce: unknown cell; did you mean 'reduction'?",
        "cells.reduction: is required by skeleton 'darts'",
        "cells.normal.operations[1]: must be a known operation, got 'blur'; known: " + KNOWN_TEXT,
        "name: must match pattern '^[a-z0-9][a-z0-9_-]*$', got 'X'",
        "sauce: unknown key; did you mean 'source'?",
    ]


KNOWN_TEXT = ", ".join(
    sorted(
        {
            *("none", "skip_connect", "noise", "avg_pool_3x3", "max_pool_3x3", "max_pool_5x5", "max_pool_7x7"),
            *("sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "dil_conv_3x3", "dil_conv_5x5"),
            *("conv_1x1", "conv_3x3", "conv_3x1_1x3", "conv_7x1_1x7", "nor_conv_1x1", "nor_conv_3x3"),
        }
    )
)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"name = [[[", ["not valid TOML: Invalid value (at end of document)"]),
        (b"\xff", ["must be UTF-8 text, got byte 0xff"]),
        (b"x = " + b"[" * 100_000, ["not valid TOML: "]),
        (
            b"cells = 3",
            ["cells: is required, a table [cells.<name>] for each cell", "name: is required", "skeleton: is required"],
        ),
        (
            b"name = 'a'\nskeleton = 'dart'\noperations = 3\n[cells.normal]\ninputs = 2",
            [
                "cells.normal.nodes: is required",
                "skeleton: must be 'darts' or 'nas_bench_201', got 'dart'; did you mean 'darts'?",
                "operations: must be a valid dictionary, got 3",
            ],
        ),
    ],
)
def test_files_that_are_something_else(tmp_path, content, lines):
    path = tmp_path / "space.toml"
    path.write_bytes(content)
    found = mistakes(path)
    assert len(found) == len(lines)
    assert all(line.startswith(start) for line, start in zip(found, lines, strict=True))


def test_the_example_of_the_docs_is_a_space(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "spaces.md").read_text()
    blocks = re.findall(r"```(toml|python)\n(.*?)```", page, flags=re.DOTALL)
    whole = [text for kind, text in blocks if kind == "toml" and text.startswith("name =")]
    assert whole
    (tmp_path / "my_ops.py").touch()
    for number, text in enumerate(whole):
        path = tmp_path / f"{number}.toml"
        path.write_text(text)
        space = SearchSpace.load(path)
        assert f"{space.size:,}" in page
    for code in (text for kind, text in blocks if kind == "python"):
        ast.parse(code)


def test_a_space_that_is_not_there():
    with pytest.raises(SpaceError, match="dart: no such search space; did you mean 'darts'"):
        SearchSpace.load("dart")
    with pytest.raises(SpaceError, match="no such search space"):
        SearchSpace.load(Path("no/such/file.toml"))
