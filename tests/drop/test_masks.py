"""The eager fast paths against plain operations, and every derivative that torch offers."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad

from nasdrop.drop import masks
from nasdrop.drop.masks import _ZeroAndScale, check_rate, draw_dropped, zero_and_scale
from nasdrop.errors import DropError

SHAPES = [(7,), (6, 3, 2), (8, 120_000), (5, 3, 200, 300), (8, 3, 9001), (1, 40_000)]  # small and large, odd and even


def plain(x: Tensor, dropped: Tensor, keep: float) -> Tensor:
    wide = x.float() if x.element_size() < 4 else x
    return torch.where(dropped, torch.zeros((), dtype=wide.dtype), wide / keep).to(x.dtype)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("decided", ["row", "channel", "batch", "element"])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_equals_plain_operations(shape: tuple[int, ...], dtype: torch.dtype, decided: str, as_tensor: bool) -> None:
    torch.manual_seed(1)
    sizes = {
        "row": (shape[0], *[1] * (len(shape) - 1)),
        "channel": (*shape[:2], *[1] * (len(shape) - 2)),
        "batch": [1] * len(shape),
        "element": shape,
    }
    x = torch.randn(shape).to(dtype)
    keep = torch.tensor(0.7) if as_tensor else 0.7
    for _ in range(3):
        dropped = torch.rand(sizes[decided]) < 0.5
        values = x.clone().masked_fill_(dropped, math.nan)
        expected = plain(x, dropped, float(keep) if as_tensor else 0.7)
        assert torch.equal(zero_and_scale(values, dropped, keep), expected)
        assert torch.equal(_ZeroAndScale.apply(values, dropped, keep), expected)
        assert torch.equal(masks._composite(values, dropped, keep), expected)


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_large_runs_of_rows_are_done_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    by_runs = masks._by_runs
    monkeypatch.setattr(masks, "_by_runs", lambda x, rows, keep: done.append(rows) or by_runs(x, rows, keep))
    dropped = torch.tensor([True, False, False, True])[:, None]
    for columns in (100, 10_000):
        x = torch.randn(4, columns)
        assert torch.equal(_ZeroAndScale.apply(x, dropped, 0.5), plain(x, dropped, 0.5))
    assert done == []
    x = torch.randn(4, 30_000)
    assert torch.equal(_ZeroAndScale.apply(x, dropped, 0.5), plain(x, dropped, 0.5))
    assert done == [[True, False, False, True]]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert torch.equal(_ZeroAndScale.apply(x, dropped, 0.5), plain(x, dropped, 0.5))
    assert len(done) == 1


def test_layouts_are_kept() -> None:
    x = torch.randn(8, 3, 200, 200).contiguous(memory_format=torch.channels_last)
    turned = torch.randn(200, 200, 3, 8).permute(3, 2, 0, 1)
    for dropped in (torch.tensor([True, False] * 4).reshape(8, 1, 1, 1), torch.rand(8, 3, 1, 1) < 0.5):
        y = zero_and_scale(x, dropped, 0.5)
        assert y.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(y, plain(x, dropped, 0.5))
        for values in (turned, x[:, :, :20, :20]):
            assert torch.equal(_ZeroAndScale.apply(values, dropped, 0.5), plain(values, dropped, 0.5))


# torch's forward mode scripts its own decompositions when it is first used
forward_mode = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")


@forward_mode
@pytest.mark.parametrize("keep", [0.5, torch.tensor(0.5, dtype=torch.float64)], ids=["float", "tensor"])
def test_first_and_second_derivatives(keep: float | Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "_FEW", 0)
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    dropped = torch.tensor([True, False, False, True])[:, None]

    def function(values: Tensor) -> Tensor:
        return zero_and_scale(values, dropped, keep) ** 3

    assert torch.autograd.gradcheck(function, x, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(function, x)


@forward_mode
@pytest.mark.parametrize("few", [0, masks._FEW])
def test_forward_mode_and_function_transforms(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "_FEW", few)
    dropped = torch.tensor([True, False, False])[:, None]
    x = torch.randn(3, 2)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, torch.ones_like(x))
        tangent = forward_ad.unpack_dual(zero_and_scale(dual, dropped, 0.5)).tangent
    assert torch.equal(tangent, torch.tensor([0.0, 2.0, 2.0])[:, None].expand(3, 2))

    def loss(values: Tensor, mask: Tensor, keep: Tensor) -> Tensor:
        return (zero_and_scale(values, mask, keep) ** 2).sum()

    batched_masks = torch.stack([dropped, ~dropped])
    keeps = torch.tensor([0.5, 0.25])
    gradients = torch.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(x, batched_masks, keeps)
    for gradient, mask, keep in zip(gradients, batched_masks, keeps, strict=True):
        torch.testing.assert_close(gradient, plain(2 * x, mask, float(keep) ** 2))
    moved = torch.vmap(lambda v: zero_and_scale(v, dropped, 0.5), in_dims=2)(x[..., None].expand(3, 2, 4))
    assert torch.equal(moved, plain(x, dropped, 0.5).expand(4, 3, 2))


def test_backward_keeps_the_mask_and_not_the_values() -> None:
    saved: list[torch.Size] = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor.shape)
        return tensor

    x = torch.randn(64, 1000, requires_grad=True)
    dropped = torch.rand(64, 1) < 0.5
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        zero_and_scale(x, dropped, 0.5)
    assert saved == [torch.Size([64, 1])]


def test_a_tensor_without_data_takes_plain_operations() -> None:
    with FakeTensorMode() as mode:
        x = mode.from_tensor(torch.empty(64, 20_000))
        assert zero_and_scale(x, torch.empty(64, 1, dtype=torch.bool), 0.5).shape == x.shape


def test_the_mask_is_drawn_in_fp32_and_wherever_the_generator_lives() -> None:
    generator = torch.Generator().manual_seed(4)
    mask = draw_dropped((1000,), 0.25, torch.device("cpu"), generator)
    uniform = torch.rand(1000, dtype=torch.float32, generator=torch.Generator().manual_seed(4))
    assert mask.dtype == torch.bool
    assert torch.equal(mask, uniform >= 0.75)


def test_an_accelerator_divides_in_fp32() -> None:
    """The branch for a rate that lives on an accelerator, tried with the meta device: dtype and shape alone."""
    x = torch.empty(4, 3, dtype=torch.bfloat16, device="meta")
    y = masks._divide(x, torch.empty((), device="meta"))
    assert (y.dtype, y.shape) == (torch.bfloat16, x.shape)


@pytest.mark.parametrize("p", [0, 1, True, 0.5, torch.tensor(0.5), torch.tensor(0.5, dtype=torch.bfloat16)], ids=str)
def test_probabilities_that_are_taken(p: object) -> None:
    rate = check_rate("place", p)
    assert float(rate) == float(p)  # type: ignore[arg-type]
    assert not isinstance(rate, Tensor) or rate.dtype == torch.float32


@pytest.mark.parametrize("p", ["0.5", None, [0.5], 2, math.nan, torch.ones(1), torch.tensor(1)], ids=str)
def test_probabilities_that_are_refused(p: object) -> None:
    with pytest.raises(DropError, match=r"^place: .*got"):
        check_rate("place", p)
