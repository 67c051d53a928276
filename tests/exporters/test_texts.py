import pytest
import torch
from torch import nn

from nasdrop import export
from nasdrop.drop import DropPath
from nasdrop.errors import InputError, RunError
from nasdrop.exporters import export_program, random_operations, text
from nasdrop.space import Genotype

GENOTYPE = Genotype.read("DARTS_V2")


@pytest.mark.parametrize(
    ("ending", "start"),
    [(".json", "{"), (".txt", "Genotype("), (".svg", "<svg"), (".dot", "digraph"), (".mmd", "flow")],
)
def test_the_ending_chooses_the_format(tmp_path, ending, start):
    path = export(GENOTYPE, tmp_path / f"cell{ending}")
    content = path.read_text()
    assert content.startswith(start) and content.endswith("\n")
    if ending in (".json", ".txt"):
        assert Genotype.read(str(path)) == GENOTYPE


def test_an_unknown_ending_or_format(tmp_path):
    with pytest.raises(InputError, match=r"cell\.jsn: no format has this ending, got '\.jsn'; did you mean '\.json'"):
        export(GENOTYPE, tmp_path / "cell.jsn")
    with pytest.raises(InputError, match="no such text, got 'dart'; did you mean 'darts'"):
        text(GENOTYPE, "dart")
    assert not list(tmp_path.iterdir())


def test_a_program_has_no_random_operation_and_the_mode_is_kept():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), DropPath(0.5)).train()
    program = export_program(network, (1, 8, 8))
    assert random_operations(program) == [] and network.training
    images = torch.randn(5, 1, 8, 8)
    torch.testing.assert_close(program.module()(images), network.eval()(images))


def test_a_program_that_still_draws_is_refused():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, x):
            return x * self.weight + torch.rand_like(x)

    with pytest.raises(RunError, match=r"draws random numbers: aten\.rand"):
        export_program(Noisy(), (1, 2, 2))
