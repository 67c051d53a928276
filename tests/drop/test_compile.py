"""Graphs: one for a whole schedule, no random operation in an exported model, checkpointing with equal gradients."""

import copy
import shutil
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils.checkpoint import checkpoint

from nasdrop import drop
from nasdrop.drop import DropScheduler, Path, PathDrop, Schedule

EPOCHS = 50
SEED = 0  # some samples live and some drop, and the batch lives
MODULES: list[tuple[nn.Module, tuple[int, ...]]] = [
    (drop.Dropout(), (4, 6)),
    (drop.AlphaDropout(), (4, 6)),
    (drop.FeatureAlphaDropout(), (4, 3, 5)),
    (drop.Dropout1d(), (4, 3, 5)),
    (drop.Dropout2d(), (4, 3, 5, 2)),
    (drop.Dropout3d(), (4, 3, 5, 2, 2)),
    (drop.DropPath(), (4, 6)),
    (drop.DropPath(mode="batch"), (4, 6)),
    (drop.StochasticDepth(nn.Linear(6, 6)), (4, 6)),
    (drop.StochasticDepth(nn.Linear(6, 6), mode="batch", scaling="evaluation"), (4, 6)),
]
every = pytest.mark.parametrize(
    ("module", "shape"), MODULES, ids=lambda value: str(value) if isinstance(value, nn.Module) else ""
)


class Cell(nn.Module):
    """Two nodes of three edges each, with the draw as an input or drawn in the graph."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        self.edges = nn.ModuleList(nn.Linear(6, 6) for _ in range(6))
        paths = [Path(f"{i}", i // 3, 0, 1.0, column=i % 3) for i in range(6)]
        self.path_drop = PathDrop(paths, **options)  # type: ignore[arg-type]

    def forward(self, x: Tensor, factors: Tensor | None = None) -> Tensor:
        if self.training and factors is None:
            factors = self.path_drop.sample(self.path_drop.rates, len(x)).factors
        for node in range(2):
            results = [self.edges[i](x) for i in range(3 * node, 3 * node + 3)]
            if self.training and factors is not None:
                results = [y * factors[3 * node + i][:, None] for i, y in enumerate(results)]
            x = torch.stack(results).sum(0).tanh()
        return x


@pytest.fixture(autouse=True)
def _fresh_compiler() -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)


@every
def test_one_graph_serves_a_schedule_and_one_more_evaluation(module: nn.Module, shape: tuple[int, ...]) -> None:
    module = copy.deepcopy(module)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(module, backend=counter, fullgraph=True)
    scheduler = DropScheduler(module, Schedule(1.0, "linear", clock="epoch-inclusive"), epochs=EPOCHS)
    changed = 0
    for epoch in range(EPOCHS):
        scheduler.step(epoch=epoch)
        x = torch.rand(shape, requires_grad=True)
        y = compiled(x)
        y.sum().backward()
        assert epoch > 0 or not isinstance(module, drop.DropPath | drop.Dropout) or torch.equal(y, x)
        changed += not torch.equal(y, x)
    assert counter.frame_count == 1
    assert changed > EPOCHS // 4
    module.eval()
    x = torch.rand(shape)
    assert torch.equal(compiled(x), module(x))
    module.train()
    compiled(torch.rand(shape, requires_grad=True))
    assert counter.frame_count <= 2


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "batch"},
        {"survivors": "revive"},
        {"survivors": "redraw"},
        {"policy": "fan-in"},
        {"policy": "cell"},
        {"policy": "fractal"},
    ],
    ids=str,
)
def test_one_graph_serves_every_draw_within_it(options: dict[str, str]) -> None:
    _check_one_graph(Cell(**options), as_input=False)


def test_one_graph_serves_every_draw_that_is_given() -> None:
    _check_one_graph(Cell(survivors="revive"), as_input=True)


def _check_one_graph(cell: Cell, *, as_input: bool) -> None:
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(cell, backend=counter, fullgraph=True)
    scheduler = DropScheduler(cell, Schedule(0.5, "linear"), epochs=EPOCHS)
    x = torch.randn(4, 6)
    for epoch in range(EPOCHS):
        scheduler.step(epoch=epoch)
        factors = cell.path_drop.draw(cell.path_drop.rates, 4, 0, epoch, 0).factors if as_input else None
        y = compiled(x, factors)
        y.sum().backward()
        if as_input:
            torch.testing.assert_close(y, cell(x, factors))
    assert counter.frame_count == 1
    cell.eval()
    torch.testing.assert_close(compiled(x), cell(x))
    assert counter.frame_count == 2


def test_a_float_p_is_compiled_anew_for_every_value() -> None:
    """Why modules hold p in a buffer: this is what a float costs."""
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(lambda x, p: drop.drop_path(x, p, True), backend=counter, dynamic=False)
    for p in (0.1, 0.2, 0.3):
        compiled(torch.ones(4, 2), p)
    assert counter.frame_count > 1


def test_a_generator_cannot_be_captured() -> None:
    compiled = torch.compile(
        lambda x, g: drop.drop_path(x, 0.5, True, generator=g), backend="aot_eager", fullgraph=True
    )
    with pytest.raises(Exception, match=r"(?i)generator|proxy"):
        compiled(torch.ones(4, 2), torch.Generator())


def test_host_decisions_cannot_be_captured() -> None:
    def function(x: Tensor) -> Tensor:
        return x + drop.drop_branch(torch.tanh, x, 0.5)

    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    with pytest.raises((torch._dynamo.exc.Unsupported, torch._dynamo.exc.UserError)):
        compiled(torch.ones(4, 2))
    torch._dynamo.reset()
    in_parts = torch.compile(function, backend="aot_eager")
    values = torch.cat([in_parts(torch.ones(4, 1)) for _ in range(20)])
    assert values.unique().numel() == 2


@pytest.mark.slow
# inductor's own lowering of convolutions scripts a helper when it is imported
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_inductor_computes_the_same_function() -> None:
    module = drop.DropPath()
    compiled = torch.compile(module, fullgraph=True)
    for p, dtype in ((0.0, torch.bfloat16), (0.25, torch.bfloat16), (1.0, torch.bfloat16)):
        module.p = p
        x = (torch.rand(4000, 3) + 0.5).to(dtype).requires_grad_()
        y = compiled(x)
        y.backward(torch.ones_like(y))
        kept = y.detach()[:, 0] != 0
        assert torch.equal(
            y.detach()[kept], (x.detach().float() / (1 - p)).to(dtype)[kept] if p < 1 else y.detach()[:0]
        )
        assert abs(kept.double().mean().item() - (1 - p)) <= 5 * (p * (1 - p) / 4000) ** 0.5
        assert x.grad is not None
        assert torch.equal(x.grad[:, 0] != 0, kept)


class Everything(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3),
            drop.Dropout2d(0.5),
            drop.StochasticDepth(nn.Conv2d(4, 4, 1)),
            drop.FeatureAlphaDropout(0.5),
        )
        self.path = drop.DropPath(0.5)
        self.head = nn.Sequential(drop.AlphaDropout(0.5), drop.Dropout(0.5), nn.Linear(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        y = y + self.path(y)
        result: Tensor = self.head(y.mean((2, 3)))
        return result


def test_an_exported_model_draws_nothing() -> None:
    model = Everything().eval()
    x = torch.randn(2, 3, 8, 8)
    program = torch.export.export(model, (x,))
    operations = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert operations
    assert not [name for name in operations if any(word in name for word in ("rand", "bernoulli", "drop", "uniform"))]
    torch.testing.assert_close(program.module()(x), model(x))


def test_an_exported_model_in_training_still_drops() -> None:
    x = torch.ones(200, 3)
    program = torch.export.export(nn.Sequential(drop.DropPath(0.5)).train(), (x,))
    assert set(program.module()(x)[:, 0].tolist()) == {0.0, 2.0}


@every
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_repeats_the_same_masks(module: nn.Module, shape: tuple[int, ...], reentrant: bool) -> None:
    module = copy.deepcopy(module)
    module.p = 0.5
    layer = nn.Linear(shape[-1], shape[-1])

    def function(x: Tensor) -> Tensor:
        result: Tensor = module(layer(x).tanh())
        return result

    gradients = []
    for wrapped in (function, lambda x: checkpoint(function, x, use_reentrant=reentrant)):
        torch.manual_seed(SEED)
        x = torch.linspace(-1, 1, torch.Size(shape).numel()).reshape(shape).requires_grad_()
        gradients.append(
            torch.autograd.grad(wrapped(x).square().sum(), x)[0] if not reentrant else _backward(wrapped, x)
        )
    assert torch.equal(*gradients)
    assert bool(gradients[0].any())


def _backward(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    function(x).square().sum().backward()
    assert x.grad is not None
    return x.grad


def test_checkpointing_a_cell_with_its_draw_as_an_input() -> None:
    cell = Cell()
    cell.path_drop.set_rates(0.5)
    factors = cell.path_drop.draw(cell.path_drop.rates, 8, 0, 0, 0).factors
    x = torch.randn(8, 6, requires_grad=True)
    plain = torch.autograd.grad(cell(x, factors).sum(), x)[0]
    repeated = torch.autograd.grad(checkpoint(cell, x, factors, use_reentrant=False).sum(), x)[0]
    assert torch.equal(plain, repeated)
