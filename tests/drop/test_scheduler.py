"""DropScheduler: rates over epochs on our models and foreign ones, planned against realised, save and resume."""

import math

import pytest
import torch
from torch import Tensor, nn

from nasdrop import drop
from nasdrop.drop import DropScheduler, Path, PathDrop, Schedule, preset
from nasdrop.errors import DropError


class TimmDropPath(nn.Module):
    """As timm's: a float attribute drop_prob, a bernoulli mask."""

    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        if self.drop_prob == 0.0 or not self.training:
            return x
        keep = 1.0 - self.drop_prob
        return x * (x.new_empty(len(x), 1).bernoulli_(keep) / keep)


class TorchvisionStochasticDepth(nn.Module):
    """As torchvision's: attributes p and mode."""

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        self.p = p
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0.0:
            return x
        return x * (torch.rand(len(x) if self.mode == "row" else 1, 1) >= self.p) / (1.0 - self.p)


class Residual(nn.Module):
    def __init__(self, dropping: nn.Module) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.drop_path = dropping

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop_path(self.linear(x))


class Ours(nn.Module):
    """Cells of two nodes with two inputs each; in each cell one input is a skip connection."""

    def __init__(self, cells: int = 4, **options: object) -> None:
        super().__init__()
        paths = [
            Path(f"{cell}/{node}/{i}", 2 * cell + node, cell, (cell + 1) / cells, identity=node + i == 0)
            for cell in range(cells)
            for node in range(2)
            for i in range(2)
        ]
        self.path_drop = PathDrop(paths, **options)  # type: ignore[arg-type]
        self.classifier_dropout = nn.Dropout(0.5)


@pytest.mark.parametrize(
    ("make", "attribute"),
    [
        (lambda: TimmDropPath(0.3), "drop_prob"),
        (lambda: TorchvisionStochasticDepth(0.3, "row"), "p"),
        (lambda: nn.Dropout(0.3), "p"),
        (lambda: drop.DropPath(0.3), "p"),
    ],
    ids=["timm", "torchvision", "torch", "ours"],
)
def test_ten_epochs_of_any_model(make, attribute: str) -> None:  # type: ignore[no-untyped-def]
    model = nn.Sequential(nn.Linear(4, 4), *[Residual(make()) for _ in range(5)])
    schedule = Schedule(0.4, "linear", "linear", "epoch-inclusive")
    scheduler = DropScheduler(model, schedule, epochs=10)
    x = torch.randn(8, 4)
    for epoch in range(10):
        scheduler.step(epoch=epoch)
        for block in range(5):
            rate = float(getattr(model[block + 1].drop_path, attribute))
            assert rate == pytest.approx(0.4 * epoch / 9 * (block + 1) / 5, abs=1e-7)
        assert scheduler.planned()["5.drop_path"] == pytest.approx(0.4 * epoch / 9)
        model(x).sum().backward()
    rows = {row.name: row[1:] for row in scheduler.table()}
    assert rows["5.drop_path"] == pytest.approx((0.0, 0.4 * 5 / 9, 0.4))
    assert list(rows) == [f"{block}.drop_path" for block in range(1, 6)]


def test_rates_are_set_before_the_first_step() -> None:
    model = nn.Sequential(TimmDropPath(0.9))
    DropScheduler(model, Schedule(0.2, "constant"), epochs=3)
    assert model[0].drop_prob == 0.2


def test_steps_within_an_epoch() -> None:
    model = nn.Sequential(drop.DropPath())
    scheduler = DropScheduler(model, preset("nasnet-v1"), epochs=4, steps_per_epoch=5)
    rates = []
    for epoch in range(4):
        for step in range(5):
            scheduler.step(epoch=epoch, step=step)
            rates.append(model[0].p.item())
    assert rates == pytest.approx([0.4 * t / 20 for t in range(20)])
    for step in (5, -1):
        with pytest.raises(DropError, match="step has to be within an epoch of 5"):
            scheduler.step(epoch=0, step=step)
    with pytest.raises(DropError, match="epoch has to be between 0 and 3, got 4"):
        scheduler.step(epoch=4)


@pytest.mark.parametrize("policy", ["edge", "node", "fan-in", "cell", "skip"])
@pytest.mark.parametrize("epoch", [0, 4, 9])
def test_realised_equals_planned_within_4_standard_errors(policy: str, epoch: int) -> None:
    model = Ours(policy=policy)
    scheduler = DropScheduler(model, Schedule(0.4, "linear", "linear", "epoch-inclusive"), epochs=10)
    scheduler.step(epoch=epoch)
    for step in range(40):
        scheduler.observe(model.path_drop.draw(model.path_drop.rates, 250, 0, epoch, step))
    planned = scheduler.planned()
    silent = scheduler.realised_silent()
    realised = scheduler.realised()
    assert planned.keys() == realised.keys() == {path.name for path in model.path_drop.paths}
    for name, rate in planned.items():
        assert abs(realised[name] - rate) <= 4 * math.sqrt(rate * (1 - rate) / 10_000) + 1e-7, name
    expected = scheduler.planned_silent()
    assert abs(silent - expected) <= 4 * math.sqrt(2 * expected / 10_000 + 1e-12)
    assert (epoch == 0) == (max(planned.values()) == 0.0)
    assert scheduler.realised() == {}


def test_survivors_show_1_minus_p_live_as_planned() -> None:
    model = Ours(survivors="revive")
    scheduler = DropScheduler(model, Schedule(0.2, "constant"), epochs=1)
    assert list(scheduler.planned().values()) == pytest.approx([0.18] * 16)
    assert [row[1:] for row in scheduler.table()] == [pytest.approx((0.18, 0.18, 0.18))]


def test_groups_and_columns_are_observed() -> None:
    operations = [name for group in drop.OPERATION_GROUPS for name in group]
    paths = [Path(name, 0, 0, 1.0, operation=name, edge=0) for name in operations]
    model = nn.ModuleDict({"g": PathDrop(paths, "groups", "batch")})
    scheduler = DropScheduler(model, preset("drop-nas", 0.2**4), epochs=1)
    for step in range(500):
        scheduler.observe(model["g"].draw(model["g"].rates, 4, 0, 0, step))
    planned = scheduler.planned()["none"]
    assert planned == pytest.approx(1 - 0.8 / (1 - 0.2**4), abs=1e-6)
    assert scheduler.realised_columns() == {}
    assert abs(scheduler.realised()["none"] - planned) < 4 * math.sqrt(planned / 500)

    columns = nn.ModuleDict({"f": PathDrop([Path(f"{c}", 0, 0, 1.0, column=c) for c in range(3)], "fractal", "batch")})
    scheduler = DropScheduler(columns, preset("fractalnet"), epochs=10, global_share=Schedule(1.0, "linear"))
    scheduler.step(epoch=6)
    assert columns["f"].global_share.item() == pytest.approx(0.6)
    for step in range(500):
        scheduler.observe(columns["f"].draw(columns["f"].rates, 4, 0, 0, step))
    shares = scheduler.realised_columns()
    assert list(shares) == ["local", "column 0", "column 1", "column 2"]
    assert abs(shares["local"] - 0.4) < 4 * math.sqrt(0.24 / 500)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert scheduler.realised_silent() == 0.0


def test_a_foreign_model_with_nothing_to_drive_is_an_error_while_the_rate_is_above_0() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(DropError, match=r"up to 0\.2 needs something to drive .*, got Sequential with none"):
        DropScheduler(model, Schedule(0.2), epochs=2)
    assert DropScheduler(model, Schedule(0.0), epochs=2).table() == []


def test_notes_say_what_is_exempt_and_what_is_left_alone() -> None:
    path_drop = PathDrop([Path("a", 0, 0, 1.0, identity=True)], exempt_identity=True)
    model = nn.ModuleDict({"path_drop": path_drop, "drop": nn.Dropout(0.5)})
    scheduler = DropScheduler(model, Schedule(0.2, "constant"), epochs=2)
    assert scheduler.notes == (
        "path_drop: every one of its 1 paths is exempt, nothing drops",
        "not driven by the schedule: drop",
    )
    assert model["drop"].p == 0.5
    assert DropScheduler(Ours(), Schedule(0.2), epochs=2).notes == ("not driven by the schedule: classifier_dropout",)


def test_table_joins_cells_that_are_alike() -> None:
    flat = DropScheduler(Ours(exempt_identity=True), preset("darts"), epochs=600)
    (row,) = flat.table()
    assert row.name == "path_drop cells 0-3: 12 of 16 paths"
    assert row[1:] == pytest.approx((0.0, 0.1, 0.199667), abs=1e-6)
    deep = DropScheduler(Ours(cells=2), preset("nasnet-v3"), epochs=2, steps_per_epoch=10)
    assert [row.name for row in deep.table()] == ["path_drop cell 0: 4 of 4 paths", "path_drop cell 1: 4 of 4 paths"]
    assert deep.table()[1][1:] == pytest.approx((0.0, 0.2, 0.38), abs=1e-6)


def test_several_path_drops_need_their_name() -> None:
    model = nn.ModuleDict({"a": Ours(), "b": Ours()})
    scheduler = DropScheduler(model, Schedule(0.2, "constant"), epochs=1)
    path_drop = model["a"].path_drop
    draw = path_drop.draw(path_drop.rates, 4, 0, 0, 0)
    with pytest.raises(DropError, match="no PathDrop None"):
        scheduler.observe(draw)
    scheduler.observe(draw, "a.path_drop")
    assert all(name.startswith("a.path_drop.") for name in scheduler.realised())


def test_resuming_goes_on_with_rates_and_counts() -> None:
    schedule = Schedule(0.4, "linear", clock="step")
    one, two = Ours(), Ours()
    first = DropScheduler(one, schedule, epochs=4, steps_per_epoch=5)
    first.step(epoch=2, step=3)
    for step in range(10):
        first.observe(one.path_drop.draw(one.path_drop.rates, 50, 0, 2, step))
    state = first.state_dict()
    second = DropScheduler(two, schedule, epochs=4, steps_per_epoch=5)
    second.load_state_dict(state)
    assert torch.equal(two.path_drop.rates, one.path_drop.rates)
    assert (second.epoch, second.within) == (2, 3)
    assert second.realised() == first.realised()
    assert all(isinstance(key, str) for key in state)
    for wrong in ({"epochs": 5}, {"steps_per_epoch": 1}, {"counts": {}}):
        with pytest.raises(DropError, match=r"DropScheduler: .*saved"):
            second.load_state_dict(state | wrong)
    second.load_state_dict(DropScheduler(one, schedule, epochs=4, steps_per_epoch=5).state_dict())
    assert second.realised() == {}


@pytest.mark.parametrize(("epochs", "steps"), [(0, 1), (1, 0)])
def test_a_budget_of_nothing(epochs: int, steps: int) -> None:
    with pytest.raises(DropError, match="have to be at least 1"):
        DropScheduler(Ours(), Schedule(), epochs=epochs, steps_per_epoch=steps)


def test_expected_silent_nodes_before_anything_runs() -> None:
    scheduler = DropScheduler(Ours(exempt_identity=True), Schedule(0.2, "linear", clock="epoch-inclusive"), epochs=3)
    assert [scheduler.planned_silent(epoch) for epoch in range(3)] == pytest.approx([0.0, 0.04, 0.16], rel=1e-5)
    assert scheduler.planned_silent() == 0.0
