"""One contract for every function, module and policy of the family: masks, rates, values, gradients, edge cases."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from nasdrop import drop
from nasdrop.drop.masks import zero_and_scale
from nasdrop.errors import NasdropError

HALF = (torch.float16, torch.bfloat16)
DTYPES = (torch.float32, *HALF)


@dataclass(frozen=True)
class Case:
    """A member of the family: how to call it, and how many of x's first dimensions share no decision."""

    name: str
    call: Callable[[Tensor, object, bool, torch.Generator | None], Tensor]
    decided: int  # dimensions with decisions of their own; -1: all of them
    shape: tuple[int, ...] = (6, 5, 4)
    saturates: bool = False
    module: bool = False

    def million(self) -> tuple[int, ...]:
        """A shape of about a million decisions."""
        if self.decided == 1:
            return (1_000_000, *[1] * (len(self.shape) - 1))
        return (1000, 1000, *[1] * (len(self.shape) - 2))

    def mask_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        decided = len(shape) if self.decided < 0 else self.decided
        return (*shape[:decided], *[1] * (len(shape) - decided))


def _function(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, p, training, generator: function(x, p, training, generator=generator)


def _path(mode: str) -> Callable[..., Tensor]:
    return lambda x, p, training, generator: drop.drop_path(x, p, training, mode, generator=generator)


def _branch(mode: str) -> Callable[..., Tensor]:
    return lambda x, p, training, generator: drop.drop_branch(lambda v: v, x, p, training, mode, generator=generator)


def _module(make: Callable[..., torch.nn.Module]) -> Callable[..., Tensor]:
    def call(x: Tensor, p: object, training: bool, generator: torch.Generator | None) -> Tensor:
        return make(p).train(training)(x)

    return call


FUNCTIONS = [
    Case("dropout", _function(drop.dropout), -1),
    Case("dropout1d", _function(drop.dropout1d), 2),
    Case("dropout2d", _function(drop.dropout2d), 2, (6, 5, 2, 3)),
    Case("dropout3d", _function(drop.dropout3d), 2, (6, 5, 2, 1, 3)),
    Case("alpha_dropout", _function(drop.alpha_dropout), -1, saturates=True),
    Case("feature_alpha_dropout", _function(drop.feature_alpha_dropout), 2, saturates=True),
    Case("drop_path row", _path("row"), 1),
    Case("drop_path batch", _path("batch"), 0),
    Case("drop_branch subset", _branch("subset"), 1),
    Case("drop_branch batch", _branch("batch"), 0),
]
MODULES = [
    Case("Dropout", _module(drop.Dropout), -1, module=True),
    Case("Dropout1d", _module(drop.Dropout1d), 2, module=True),
    Case("Dropout2d", _module(drop.Dropout2d), 2, (6, 5, 2, 3), module=True),
    Case("Dropout3d", _module(drop.Dropout3d), 2, (6, 5, 2, 1, 3), module=True),
    Case("AlphaDropout", _module(drop.AlphaDropout), -1, saturates=True, module=True),
    Case("FeatureAlphaDropout", _module(drop.FeatureAlphaDropout), 2, saturates=True, module=True),
    Case("DropPath row", _module(drop.DropPath), 1, module=True),
    Case("DropPath batch", _module(lambda p: drop.DropPath(p, "batch")), 0, module=True),
]
ALL = FUNCTIONS + MODULES
WITH_MANY = [case for case in ALL if case.decided != 0]
ZEROING = [case for case in ALL if not case.saturates]


def every(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(20)


@every(ALL)
@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan, math.inf, "0.5", None, torch.tensor([0.5]), torch.tensor(1)])
def test_refuses_what_is_no_probability(case: Case, p: object) -> None:
    with pytest.raises(NasdropError, match="p") as caught:
        case.call(torch.ones(case.shape), p, True, None)
    assert isinstance(caught.value, ValueError)


@every(ALL)
def test_evaluation_and_p_0_give_back_the_input_itself_and_draw_nothing(case: Case) -> None:
    x = torch.randn(case.shape)
    before = torch.get_rng_state()
    assert case.call(x, 0.7, False, None) is x
    if not case.module:
        assert case.call(x, 0.0, True, None) is x
    empty = torch.empty(0, *case.shape[1:])
    assert case.call(empty, 0.7, True, None) is empty
    assert torch.equal(torch.get_rng_state(), before) or case.module
    assert torch.equal(case.call(x, 0.0, True, None), x)


@every(ALL)
@pytest.mark.parametrize("dtype", [*DTYPES, torch.float64], ids=str)
def test_never_writes_into_its_input_and_keeps_dtype_and_shape(case: Case, dtype: torch.dtype) -> None:
    x = torch.randn(case.shape).to(dtype)
    before = x.clone()
    y = case.call(x, 0.5, True, None)
    assert y.dtype == dtype
    assert y.shape == x.shape
    assert torch.equal(x, before)


@every(ALL)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_decisions_are_shared_exactly_as_the_mask_shape_says(case: Case, dtype: torch.dtype) -> None:
    shape = (40, 30, *[3] * (len(case.shape) - 2))
    seen = set()
    for _ in range(20):
        y = case.call(torch.ones(shape, dtype=dtype), 0.5, True, None)
        decisions = y[tuple(slice(size) for size in case.mask_shape(shape))] if case.decided else y.flatten()[:1]
        assert torch.equal(y, decisions.reshape(case.mask_shape(shape)).expand(shape))
        seen |= set(decisions.flatten().tolist())
    assert len(seen) == 2


@every([case for case in WITH_MANY if not case.saturates])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("keep", [0.9, 0.99, 0.999])
def test_keep_rate_of_a_million_draws_and_its_two_values(case: Case, dtype: torch.dtype, keep: float) -> None:
    x = torch.ones(case.million(), dtype=dtype)
    y = case.call(x, 1.0 - keep, True, None)
    count, n, value = int(y.count_nonzero()), x.numel(), y.max()
    assert abs(count / n - keep) < 5 * math.sqrt(keep * (1 - keep) / n)
    assert int((y == value).sum()) == count
    assert int((y == 0).sum()) == n - count
    assert abs(value.item() * keep - 1.0) <= torch.finfo(dtype).eps / 2 * 1.01
    mean_error = abs(count * value.item() / n - 1.0)
    assert mean_error < 5 * math.sqrt((1 - keep) / (keep * n)) + torch.finfo(dtype).eps / 2 * 1.2


@every([case for case in ALL if case.decided == 0])
def test_keep_rate_of_one_decision_a_batch(case: Case) -> None:
    x, n = torch.ones(3, 2), 4000
    kept = sum(bool(case.call(x, 0.1, True, None)[0, 0]) for _ in range(n))
    assert abs(kept / n - 0.9) < 5 * math.sqrt(0.09 / n)


@every([case for case in WITH_MANY if case.saturates])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("p", "dropped", "shift", "slope"),
    [
        (0.1, -1.457739, 0.161971, 0.9212845),
        (0.5, -0.779194, 0.779194, 0.8864049),
        (0.9, -0.285886, 2.572974, 1.626108),
    ],
)
def test_saturation_constants_and_moments(
    case: Case, dtype: torch.dtype, p: float, dropped: float, shift: float, slope: float
) -> None:
    rounding = torch.finfo(dtype).eps
    zeros = case.call(torch.zeros(case.million(), dtype=dtype), p, True, None).float()
    low, high = zeros.unique().tolist()
    assert low == pytest.approx(dropped, rel=rounding + 1e-5)
    assert high == pytest.approx(shift, rel=rounding + 1e-5)
    n = zeros.numel()
    assert abs((zeros == low).sum().item() / n - p) < 5 * math.sqrt(p * (1 - p) / n)
    y = case.call(torch.randn(case.million()).to(dtype), p, True, None).double()
    fourth = p * dropped**4 + (1 - p) * (3 * slope**4 + 6 * slope**2 * shift**2 + shift**4)
    assert abs(y.mean().item()) < 5 / math.sqrt(n) + rounding
    assert abs(y.var().item() - 1.0) < 5 * math.sqrt((fourth - 1) / n) + 2 * rounding


@every(ZEROING)
@pytest.mark.parametrize("dtype", [*DTYPES, torch.float64], ids=str)
def test_gradient_is_the_mask_over_k(case: Case, dtype: torch.dtype) -> None:
    for _ in range(4):
        x = torch.ones(case.shape, dtype=dtype, requires_grad=True)
        y = case.call(x, 0.25, True, None)
        y.sum().backward()
        assert x.grad is not None
        assert torch.equal(x.grad, y.detach())


@every(ALL)
@pytest.mark.parametrize("dtype", [*DTYPES, torch.float64], ids=str)
@pytest.mark.parametrize("as_tensor", [False, True])
def test_p_1_gives_zeros_and_zero_gradients_whatever_the_input(case: Case, dtype: torch.dtype, as_tensor: bool) -> None:
    x = torch.ones(case.shape).index_fill(0, torch.tensor([0]), math.inf).index_fill(0, torch.tensor([1]), math.nan)
    x = x.to(dtype).requires_grad_()
    y = case.call(x, torch.tensor(1.0) if as_tensor else 1.0, True, None)
    y.sum().backward()
    assert torch.equal(y, torch.zeros_like(y))
    assert x.grad is not None
    assert torch.equal(x.grad, torch.zeros_like(x))


@every(ZEROING)
@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_kept_values_are_divided_in_fp32_and_rounded_once(case: Case, dtype: torch.dtype) -> None:
    x = torch.randn(64, 32, *[1] * (len(case.shape) - 2)).to(dtype)
    for keep in (0.501, 0.7, 0.83, 0.97, 0.99, 0.999):
        p = torch.tensor(1.0 - keep)
        y = case.call(x, p, True, None)
        kept = y != 0
        assert torch.equal(y[kept], (x.float() / (1.0 - p)).to(dtype)[kept])


@every(ZEROING)
def test_large_and_non_finite_values_are_0_where_dropped(case: Case) -> None:
    for value in (6e4, math.inf, -math.inf, math.nan):
        seen = 0
        for _ in range(8):
            x = torch.full(case.shape, value, dtype=torch.float16, requires_grad=True)
            y = case.call(x, 0.5, True, None)
            y.backward(torch.full_like(y, math.inf))
            assert x.grad is not None
            zero = y.detach() == 0
            assert torch.equal(zero, x.grad == 0)
            assert not torch.isfinite(y.detach()[~zero]).any()
            seen += int(zero.sum())
        assert seen > 0


@every(FUNCTIONS)
def test_a_generator_decides_alone(case: Case) -> None:
    x = torch.randn(case.shape)
    state = torch.get_rng_state()
    first = [case.call(x, 0.5, True, torch.Generator().manual_seed(seed)) for seed in range(20)]
    again = [case.call(x, 0.5, True, torch.Generator().manual_seed(seed)) for seed in range(20)]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not torch.equal(first[0], other) for other in first[1:])


@every(FUNCTIONS)
def test_a_tensor_p_drops_as_a_float_does(case: Case) -> None:
    x = torch.randn(case.shape)
    by_float = case.call(x, 0.25, True, torch.Generator().manual_seed(3))
    for dtype in (torch.float16, torch.float32, torch.float64):
        by_tensor = case.call(x, torch.tensor(0.25, dtype=dtype), True, torch.Generator().manual_seed(3))
        torch.testing.assert_close(by_tensor, by_float, rtol=1e-6, atol=1e-6)


@every(ALL)
def test_a_batch_of_one(case: Case) -> None:
    x = torch.ones(1, *case.shape[1:])
    values = {case.call(x, 0.5, True, None).flatten()[0].item() for _ in range(40)}
    assert len(values) == 2


@every(ALL)
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64], ids=str)
def test_refuses_what_cannot_be_scaled_but_not_in_evaluation(case: Case, dtype: torch.dtype) -> None:
    x = torch.ones(case.shape, dtype=dtype)
    assert case.call(x, 0.5, False, None) is x
    with pytest.raises(NasdropError, match="floating"):
        case.call(x, 0.5, True, None)


@every(ZEROING)
def test_any_memory_layout(case: Case) -> None:
    for dim in range(1, len(case.shape)):
        x = (torch.rand(case.shape) + 0.5).transpose(0, dim)
        y = case.call(x, 0.5, True, None)
        kept = y != 0
        torch.testing.assert_close(y[kept], 2.0 * x[kept])


@every([case for case in ALL if not case.name.startswith("drop_branch")])  # which decides on the host
def test_vmap_draws_for_each_sample_or_once(case: Case) -> None:
    x = torch.ones(64, *case.shape)
    different = torch.vmap(lambda v: case.call(v, torch.tensor(0.5), True, None), randomness="different")(x)
    same = torch.vmap(lambda v: case.call(v, torch.tensor(0.5), True, None), randomness="same")(x)
    assert different.flatten(1).unique(dim=0).shape[0] > 1
    assert same.flatten(1).unique(dim=0).shape[0] == 1


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_scale_bias_over_a_sweep_of_k(dtype: torch.dtype) -> None:
    """Each value is off by half a unit in the last place at most, their mean by less than 2^-9 in bf16, for every k.

    The values are all that the dtype has in [1, 2), so no other magnitudes have another bias. Rounding 1/k to the dtype
    first exceeds that bound for many k.
    """
    step = torch.finfo(dtype).eps
    x = torch.arange(1.0, 2.0, step, dtype=torch.float64).to(dtype)
    rounded_first_exceeds = 0
    for keep in torch.linspace(0.5, 0.9999, 2000 if dtype == torch.bfloat16 else 200).tolist():
        y = zero_and_scale(x, torch.zeros(1, dtype=torch.bool), keep)
        exact = x.double() / keep
        assert ((y.double() - exact).abs() / exact).max() <= step / 2
        bias = (y.double() / exact).mean().item() - 1.0
        assert abs(bias) < step / 4
        plain = x * torch.tensor(1.0 / keep, dtype=dtype)
        rounded_first_exceeds += abs((plain.double() / exact).mean().item() - 1.0) >= step / 4
    assert rounded_first_exceeds > 50
