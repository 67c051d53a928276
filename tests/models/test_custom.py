"""A user's operations from a file beside the space's file."""

import sys

import pytest
from torch import nn

from nasdrop.errors import SpaceError
from nasdrop.models.custom import load_custom

OWN = """
from dataclasses import dataclass
from torch import nn

@dataclass
class Options:  # data classes look their module up by its name
    kernel: int = 3

def blur(channels, stride, *, ndim, affine):
    return nn.AvgPool2d(Options().kernel, stride, 1)

LIMIT = 3
"""


@pytest.fixture
def space_file(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "broken.py").write_text("import surely_not_a_module\n")
    (tmp_path / "torn.py").write_text("def half(:\n")
    return tmp_path / "space.toml"


def test_builds_what_the_file_defines(space_file):
    builder = load_custom("own:blur", space_file)
    assert isinstance(builder(4, 2, ndim=2, affine=True), nn.AvgPool2d)


def test_equal_names_in_two_folders_are_two_modules(space_file, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "own.py").write_text("def blur(channels, stride, *, ndim, affine):\n    return channels\n")
    first, second = load_custom("own:blur", space_file), load_custom("own:blur", other / "space.toml")
    assert isinstance(first(4, 1, ndim=2, affine=True), nn.Module)
    assert second(4, 1, ndim=2, affine=True) == 4
    assert "own" not in sys.modules


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("own", r"operations: must read 'module:attribute', got 'own'"),
        ("own.blur", r"must read 'module:attribute'"),
        ("../own:blur", r"must read 'module:attribute'"),
        ("absent:blur", r"the module must lie beside the space's file, got 'absent:blur' and no .*absent\.py"),
        ("own:blurr", r"own\.py: has no attribute 'blurr'; did you mean 'blur'\?"),
        ("own:LIMIT", r"own\.py: LIMIT must be callable, got int"),
        ("broken:any", r"broken\.py: cannot be imported: ModuleNotFoundError: No module named 'surely_not_a_module'"),
        ("torn:half", r"torn\.py: cannot be imported: SyntaxError: "),
    ],
)
def test_what_is_wrong_is_said_in_one_line(space_file, reference, message):
    modules = set(sys.modules)
    with pytest.raises(SpaceError, match=message) as caught:
        load_custom(reference, space_file)
    assert "\n" not in str(caught.value)
    assert not [name for name in set(sys.modules) - modules if "broken" in name or "torn" in name]
