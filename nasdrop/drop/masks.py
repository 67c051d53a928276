"""The one mechanism below every drop function: y = 0 where dropped, else x / k, computed in fp32 and rounded once.

The uniform draw is fp32 in every dtype (a half-precision draw has drop rates of multiples of 1/256 and can give mask
values of 2), and 1/k is never rounded to x's dtype. A dropped value is exactly 0, even where it was inf or NaN.
"""

from collections.abc import Sequence
from itertools import groupby
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from nasdrop.errors import DropError

Rate = float | Tensor
"""A probability: a Python number, or a 0-dim tensor whose range is checked by whoever sets it."""

_FEW = 1 << 14
"""Below so many elements plain operations are quicker than a Function that is written in Python."""

_LARGE_RUN = 128 * 1024
"""Bytes from which on a run of rows is worth an operation of its own."""


def check_rate(place: str, p: object) -> Rate:
    """Give a probability back as a float in [0, 1] or as a 0-dim floating tensor of at least fp32.

    Raises:
        DropError: p is not a number, not in [0, 1], NaN, or a tensor of another rank or kind.
    """
    if isinstance(p, Tensor):
        if p.ndim != 0 or not p.is_floating_point():
            raise DropError(
                f"{place}: a tensor p has to be 0-dimensional and floating, got {p.dtype} of {tuple(p.shape)}"
            )
        return p.float() if p.element_size() < 4 else p
    if not isinstance(p, int | float | Real):
        raise DropError(f"{place}: dropout probability has to be a number or a 0-dimensional tensor, got {p!r}")
    rate = float(p)
    if not 0.0 <= rate <= 1.0:
        raise DropError(f"{place}: dropout probability has to be between 0 and 1, but got {p}")
    return rate


def check_floating(place: str, x: Tensor) -> None:
    """Refuse what cannot be scaled: integers, booleans, complex numbers."""
    if not x.is_floating_point():
        raise DropError(f"{place}: the input has to be of a real floating dtype, got {x.dtype}")


def is_zero(p: Rate) -> bool:
    """Whether p is known on the host to be 0; a tensor is not looked at, which would synchronise."""
    return not isinstance(p, Tensor) and p == 0.0


def draw_dropped(shape: Sequence[int], p: Rate, device: torch.device, generator: torch.Generator | None) -> Tensor:
    """A bool mask, True with probability p, from an fp32 uniform that is drawn on the generator's device."""
    if generator is None:
        uniform = torch.rand(shape, dtype=torch.float32, device=device)
    else:
        uniform = torch.rand(shape, dtype=torch.float32, device=generator.device, generator=generator).to(device)
    return uniform >= 1.0 - p


def zero_and_scale(x: Tensor, dropped: Tensor, keep: Rate) -> Tensor:
    """0 where dropped, else x / keep, rounded once to x's dtype; the gradient is the same function of the gradient.

    Args:
        x: Values, floating, never written to.
        dropped: Bool mask of x's rank, broadcast against it.
        keep: The divisor k. At 0 everything has to be dropped; nothing is divided by it then.
    """
    if x.numel() < _FEW or type(x) not in _PLAIN_TENSORS or _is_transformed():
        return _composite(x, dropped, keep)
    result: Tensor = _ZeroAndScale.apply(x, dropped, keep)  # type: ignore[no-untyped-call]
    return result


_PLAIN_TENSORS = (Tensor, torch.nn.Parameter)


def _is_transformed() -> bool:
    """Whether a compiler or one of torch.func's transforms looks on: plain operations suit them.

    The transforms refuse a Function of the form that is called quickest; `Function.apply` asks torch the same question.
    """
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()


def _composite(x: Tensor, dropped: Tensor, keep: Rate) -> Tensor:
    """In differentiable operations that a compiler fuses; selects first, so that no gradient meets 0 * inf."""
    selected = torch.where(dropped, 0.0, x)
    divisor = torch.where(keep > 0, keep, 1.0) if isinstance(keep, Tensor) else keep or 1.0
    if x.element_size() < 4:
        return (selected.float() / divisor).to(x.dtype)
    return selected / divisor


class _ZeroAndScale(torch.autograd.Function):
    """The same in eager mode: one pass over the data, and only the mask is kept for backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dropped: Tensor, keep: Rate) -> Tensor:
        """Compute the values; keep the mask and the divisor, never x."""
        saved = (dropped, keep) if isinstance(keep, Tensor) else (dropped,)
        ctx.keep = None if isinstance(keep, Tensor) else keep
        ctx.save_for_backward(*saved)
        ctx.save_for_forward(*saved)
        if x.device.type == "cpu":
            return _on_cpu(x, dropped, keep)
        return _divide(x, keep).masked_fill_(dropped, 0.0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """Zero and scale the gradient; differentiable again."""
        return _same_of(ctx, grads[0]), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        """Zero and scale the tangent: the function is linear."""
        return _same_of(ctx, tangents[0])


def _same_of(ctx: Any, values: Tensor) -> Tensor:
    dropped, *keep = ctx.saved_tensors
    return zero_and_scale(values, dropped, keep[0] if keep else ctx.keep)


def _divide(x: Tensor, keep: Rate) -> Tensor:
    """Divide in fp32 for half precision, rounding once.

    A divisor that is a host scalar stays fp32 in torch's kernels; a 0-dim tensor on an accelerator would first be
    rounded to x's dtype, so there it gets x's rank (which promotes to fp32) and the result is written in x's dtype.
    """
    if isinstance(keep, Tensor) and keep.device.type != "cpu" and x.element_size() < 4:
        return torch.div(x, keep.reshape([1] * x.ndim), out=torch.empty_like(x))
    return x / keep


def _on_cpu(x: Tensor, dropped: Tensor, keep: Rate) -> Tensor:
    """Pass over the data once, or once and a little: `where` with a broadcast mask is 4 times slower.

    Run by run is quickest on one thread. On several each run would wait for all of them, which on a busy machine costs
    more than everything else.
    """
    decided = dropped.numel()
    if decided == 1:
        return torch.zeros_like(x) if bool(dropped) else x / keep
    if decided == x.numel() or not (decided == x.shape[0] or x.is_contiguous()):
        return (x / keep).masked_fill_(dropped, 0.0)
    rows = dropped.flatten()
    if decided == x.shape[0] and torch.get_num_threads() == 1 and x.nbytes >= 2 * _LARGE_RUN:
        num_runs = 1 + int((rows[1:] != rows[:-1]).sum())
        if x.nbytes >= num_runs * _LARGE_RUN:
            return _by_runs(x, rows.tolist(), keep)
    return _fill_rows(x / keep, rows.nonzero().flatten(), decided)


def _fill_rows(values: Tensor, dropped: Tensor, rows: int) -> Tensor:
    """Zero rows in place; 16 bytes at a time where the layout allows, since index_fill_ stores element by element."""
    if not values.is_contiguous():
        return values.index_fill_(0, dropped, 0.0)
    by_row = values.view(rows, -1)
    if by_row.shape[1] * by_row.element_size() % 16 == 0:
        by_row = by_row.view(torch.complex128)
    by_row.index_fill_(0, dropped, 0.0)
    return values


def _by_runs(x: Tensor, dropped: list[bool], keep: Rate) -> Tensor:
    """Divide each run of live rows, zero each run of dropped ones, which are not even read."""
    result = torch.empty_like(x)
    runs = [(gone, len(list(rows))) for gone, rows in groupby(dropped)]
    sizes = [size for _, size in runs]
    for (gone, _), source, target in zip(runs, torch.split(x, sizes), torch.split(result, sizes), strict=True):
        if gone:
            target.zero_()
        else:
            torch.div(source, keep, out=target)
    return result
