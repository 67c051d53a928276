"""check_paths: silent nodes, only paths and in-place hazards are found; sound networks give no finding."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasdrop import drop
from nasdrop.drop import Path, PathDrop, check_paths
from nasdrop.errors import DropError


class Block(nn.Module):
    """x + drop(act(linear(x))), with whatever activation and drop module."""

    def __init__(self, act: nn.Module, dropping: nn.Module) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.act = act
        self.drop = dropping

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop(self.act(self.linear(x)))


class OnlyPath(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.drop = drop.DropPath(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.linear(x).relu())


class Shared(nn.Module):
    """The skip connection drops nothing when p = 0 and gives x itself, which the activation then overwrites."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.drop = drop.DropPath(0.1)
        self.act = nn.ReLU(inplace=True)
        self.form = form

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        dropped = self.drop(y)
        if self.form == "module":
            return y + self.act(dropped)
        if self.form == "method":
            return y + dropped.relu_()
        if self.form == "keyword":
            return y + F.relu(dropped.flatten(1), inplace=True)
        return y + torch.relu_(dropped)


def kinds(network: nn.Module) -> list[str]:
    return [finding.kind for finding in check_paths(network)]


def test_silent_nodes_and_only_paths_of_a_path_drop() -> None:
    paths = [
        Path("a", 0, 0, 0.5),
        Path("b", 0, 0, 0.5),
        Path("c", 1, 1, 1.0),
        Path("d", 2, 1, 1.0),
        Path("e", 2, 1, 1.0, identity=True),
    ]
    network = nn.ModuleDict({"path_drop": PathDrop(paths, exempt_identity=True)})
    silent, only = check_paths(network, p=0.2)
    assert (silent.kind, silent.place) == ("silent node", "path_drop node 0")
    assert silent.probability == pytest.approx(0.04)
    assert silent.text == "all its 2 inputs drop at once, with probability 0.04 (a, b)"
    assert (only.kind, only.place) == ("only path", "path_drop node 1")
    assert only.probability == pytest.approx(0.2)
    assert [finding.probability for finding in check_paths(network)] == [0.0, 0.0]
    with pytest.raises(DropError, match="between 0 and 1"):
        check_paths(network, p=2.0)


@pytest.mark.parametrize("options", [{"survivors": "revive"}, {"policy": "node"}, {"policy": "skip"}])
def test_survivors_leave_no_silent_node(options: dict[str, str]) -> None:
    paths = [Path("a", 0, 0, 1.0), Path("b", 0, 0, 1.0, identity=True)]
    assert check_paths(nn.ModuleDict({"p": PathDrop(paths, **options)}), p=0.5) == []


@pytest.mark.parametrize("act", [nn.ReLU(), nn.ReLU(inplace=True), nn.GELU()])
def test_a_residual_branch_is_sound(act: nn.Module) -> None:
    network = nn.Sequential(nn.Linear(4, 4), Block(act, drop.DropPath(0.2)), Block(act, nn.Dropout(0.2)))
    assert check_paths(network) == []


def test_drop_path_on_an_only_path() -> None:
    network = nn.Sequential(Block(nn.ReLU(), drop.DropPath(0.2)), OnlyPath())
    (finding,) = check_paths(network)
    assert (finding.kind, finding.place) == ("only path", "1.drop")
    assert finding.probability == pytest.approx(0.3)
    assert check_paths(network, p=0.7)[0].probability == 0.7
    assert kinds(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 2))) == []


@pytest.mark.parametrize("form", ["module", "method", "keyword", "function"])
def test_overwriting_what_another_path_reads(form: str) -> None:
    (finding,) = check_paths(Shared(form))
    assert finding.kind == "in place"
    assert "overwrites mul, which" in finding.text


@pytest.mark.parametrize("act", [nn.ReLU(), nn.Sigmoid(), nn.Tanh()])
def test_in_place_dropout_after_an_output_that_backward_needs(act: nn.Module) -> None:
    network = Block(act, nn.Dropout(0.5, inplace=True))
    (finding,) = check_paths(network)
    assert finding.text == "overwrites the output of act, which its backward needs"
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        network(torch.randn(3, 4)).sum().backward()
    sound = Block(nn.Identity(), nn.Dropout(0.5, inplace=True))
    assert check_paths(sound) == []
    sound(torch.randn(3, 4)).sum().backward()


def test_overwriting_the_network_s_input() -> None:
    (finding,) = check_paths(nn.Sequential(nn.Dropout(0.5, inplace=True), nn.Linear(4, 4)))
    assert finding.text == "overwrites the input input_1 of the network"


def test_what_cannot_be_traced_says_so() -> None:
    class Dynamic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = drop.DropPath(0.1)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.drop(x) if x.sum() > 0 else x

    assert kinds(Dynamic()) == ["not checked"]


def test_flags_and_rates_are_as_before() -> None:
    network = nn.Sequential(OnlyPath(), Block(nn.ReLU(), nn.Dropout(0.4)))
    network[1].eval()
    flags = [module.training for module in network.modules()]
    check_paths(network, p=0.9)
    assert [module.training for module in network.modules()] == flags
    assert network[0].drop.p.item() == pytest.approx(0.3)
    assert network[1].drop.p == 0.4
