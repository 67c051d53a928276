import pytest

from nasdrop.space import SearchSpace

NORMAL = """
[cells.normal]
inputs = 2
nodes = 2
keep = 2
operations = ["skip_connect", "sep_conv_3x3"]
"""
REDUCTION = NORMAL.replace("normal", "reduction")


@pytest.fixture(scope="session")
def spaces():
    """Every shipped space by name, loaded once."""
    names = ("darts", "nas_bench_201", "nasnet", "tiny", "robust_s1", "robust_s2", "robust_s3", "robust_s4")
    return {name: SearchSpace.load(name) for name in names}


@pytest.fixture
def write_space(tmp_path):
    """Writes a space file of the given cells under a sound head; the path."""

    def write(normal=NORMAL, reduction=REDUCTION, head="", name="own"):
        path = tmp_path / f"{name}.toml"
        path.write_text(f'name = "{name}"\nskeleton = "darts"\n{head}\n{normal}\n{reduction}')
        return path

    return write
