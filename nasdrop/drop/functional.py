"""The dropout family as pure functions: torch's six, and drop path (stochastic depth, 1603.09382; DARTS, 1806.09055).

Shapes: N samples, C channels; a mask has size 1 where one decision is shared. Nothing writes into its input. Where
torch's own function is exact (a float p, no generator, fp32 or fp64) torch computes it: equal values for one seed.
"""
# ruff: noqa: FBT001, FBT002 - the signatures are torch's, which takes its switches by position

import warnings
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from nasdrop.drop.masks import Rate, check_floating, check_rate, draw_dropped, is_zero, zero_and_scale
from nasdrop.errors import DropError, suggest

SELU_SATURATION = 1.7580993408473766
"""SELU's scale times its alpha: minus the value that it saturates at."""

MODES = ("row", "batch")

_TORCH_EXACT = (torch.float32, torch.float64)


def dropout(
    input: Tensor,
    p: Rate = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Zero single elements with probability p and divide the others by 1 - p.

    Args:
        input: Values of any shape.
        p: Probability of an element to be zeroed: a float, or a 0-dim tensor (its range is not looked at).
        training: Whether to drop at all.
        inplace: Refused when true.
        generator: Source of the draw; the default RNG when none is given.

    Returns:
        The input itself when nothing can drop (a float p = 0, evaluation, no elements); else a new tensor.

    Raises:
        DropError: p is not in [0, 1], inplace is true, or the input is not floating.
    """
    return _drop(_DROPOUT, input, p, training, inplace, generator)


def alpha_dropout(
    input: Tensor,
    p: Rate = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Set single elements to SELU's saturation value and restore zero mean and unit variance (1706.02515).

    With A = SELU_SATURATION, k = 1 - p and a = ((A² p + 1) k)^(-1/2), a kept x becomes a x + A a p and a dropped one
    -A a k.
    Arguments, result and errors are those of `dropout`.
    """
    return _drop(_ALPHA, input, p, training, inplace, generator)


def feature_alpha_dropout(
    input: Tensor,
    p: Rate = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """`alpha_dropout` of whole channels: one decision for each of the first two dimensions, at every rank from 2 on."""
    return _drop(_FEATURE_ALPHA, input, p, training, inplace, generator)


def dropout1d(
    input: Tensor,
    p: Rate = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Zero whole channels of (N, C, L), or of an unbatched (C, L).

    Raises:
        DropError: the input has another rank; or as `dropout`.
    """
    if input.ndim not in (2, 3):
        raise DropError(f"dropout1d: Expected 2D or 3D input, but received a {input.ndim}D input")
    member = _DROPOUT1D if input.ndim == 3 else _DROPOUT1D_UNBATCHED
    return _drop(member, input, p, training, inplace, generator)


def dropout2d(
    input: Tensor,
    p: Rate = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Zero whole channels of (N, C, H, W); a 3-D input is (N, C, L), as in torch, and not an unbatched map.

    Warns:
        UserWarning: the input is not 4-D; torch warns there too.
    """
    if input.ndim == 3:
        _warn("dropout2d: a 3D input is taken as (N, C, L), not as an unbatched (C, H, W); dropout1d says so plainly")
    elif input.ndim != 4:
        _warn(f"dropout2d: Received a {input.ndim}-D input, which torch deprecates; use dropout instead")
    return _drop(_DROPOUT2D, input, p, training, inplace, generator)


def dropout3d(
    input: Tensor,
    p: Rate = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Zero whole channels of (N, C, D, H, W); every other rank is taken as unbatched, (C, ...), as in torch.

    Warns:
        UserWarning: the input is neither 4-D nor 5-D; torch warns there too.
    """
    if input.ndim not in (4, 5):
        _warn(f"dropout3d: Received a {input.ndim}-D input, which torch deprecates; use dropout instead")
    member = _DROPOUT3D if input.ndim == 5 else _DROPOUT3D_UNBATCHED
    return _drop(member, input, p, training, inplace, generator)


def drop_path(
    x: Tensor,
    p: Rate = 0.0,
    training: bool = False,
    mode: Literal["row", "batch"] = "row",
    scale: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Zero whole samples with probability p and divide the others by 1 - p.

    Meant for one of several branches that are added up. On an only path, `x = drop_path(x)`, it kills the signal.

    Args:
        x: Values of shape (N, ...), of any rank from 1 on.
        p: Probability of a sample to be zeroed: a float, or a 0-dim tensor (its range is not looked at).
        training: Whether to drop at all.
        mode: "row" decides for each sample, "batch" once for all of them.
        scale: Whether to divide what is kept by 1 - p, which keeps the expectation.
        generator: Source of the draw; the default RNG when none is given.

    Returns:
        The input itself when nothing can drop (a float p = 0, evaluation, no elements); else a new tensor.

    Raises:
        DropError: p is not in [0, 1], the mode is unknown, or x is 0-dimensional or not floating.
    """
    rate = check_rate("drop_path", p)
    check_mode("drop_path", mode)
    if x.ndim == 0:
        raise DropError("drop_path: the input needs a first dimension of samples, got a 0-dimensional tensor")
    if not training or is_zero(rate) or x.numel() == 0:
        return x
    check_floating("drop_path", x)
    shape = [x.shape[0] if mode == "row" else 1] + [1] * (x.ndim - 1)
    dropped = draw_dropped(shape, rate, x.device, generator)
    return zero_and_scale(x, dropped, 1.0 - rate if scale else 1.0)


def check_mode(place: str, mode: str, known: Sequence[str] = MODES) -> None:
    """Refuse an unknown mode with the nearest known one."""
    if mode not in known:
        raise DropError(f"{place}: mode has to be one of {', '.join(known)}, got {mode!r}; {suggest(str(mode), known)}")


class _Member(NamedTuple):
    """A function of the family: how it is called, torch's own kernel, the mask's shape, what becomes of a value."""

    place: str
    native: Callable[[Tensor, float, bool], Tensor]
    shape: Callable[["_Member", Tensor], Sequence[int]]
    combine: Callable[[Tensor, Tensor, Rate], Tensor]


def _drop(
    member: _Member, x: Tensor, p: Rate, training: bool, inplace: bool, generator: torch.Generator | None
) -> Tensor:
    """Check, short-cut, let torch compute where it is exact, else draw a mask and combine."""
    rate = check_rate(member.place, p)
    check_not_inplace(member.place, inplace)
    if not training or is_zero(rate) or x.numel() == 0:
        return x
    check_floating(member.place, x)
    if not isinstance(rate, Tensor) and rate == 1.0:
        # Nothing is random, so no random number is used; torch's x * 0 would keep inf and NaN as NaN.
        return zero_and_scale(x, torch.ones([1] * x.ndim, dtype=torch.bool, device=x.device), 1.0)
    shape = member.shape(member, x)
    if not isinstance(rate, Tensor) and generator is None and x.dtype in _TORCH_EXACT:
        return member.native(x, rate, True)  # noqa: FBT003 - a C function without keywords
    return member.combine(x, draw_dropped(shape, rate, x.device, generator), rate)


def check_not_inplace(place: str, inplace: bool) -> None:
    """Refuse to overwrite the input, and say why."""
    if inplace:
        reason = "it overwrites values that other paths read or that backward needs"
        raise DropError(f"{place}: inplace is refused, since {reason}, got {inplace!r}")


def _zeroed(x: Tensor, dropped: Tensor, p: Rate) -> Tensor:
    return zero_and_scale(x, dropped, 1.0 - p)


def _saturated(x: Tensor, dropped: Tensor, p: Rate) -> Tensor:
    """Equation of `alpha_dropout`, in fp32 (fp64 for fp64), rounded once; at k = 0 everything is -A a k = 0."""
    keep = 1.0 - p
    slope_of_dropped = (SELU_SATURATION**2 * p + 1.0) ** -0.5  # a sqrt(k), finite at k = 0
    safe_keep = torch.where(keep > 0, keep, 1.0) if isinstance(keep, Tensor) else keep or 1.0
    slope = slope_of_dropped * safe_keep**-0.5
    values = x.float() if x.element_size() < 4 else x
    kept = torch.where(dropped, 0.0, values) * slope + SELU_SATURATION * slope * p
    return torch.where(dropped, -SELU_SATURATION * slope_of_dropped * keep**0.5, kept).to(x.dtype)


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=3)


def _elements(_member: _Member, x: Tensor) -> Sequence[int]:
    return x.shape


def _channels(member: _Member, x: Tensor) -> Sequence[int]:
    if x.ndim < 2:
        raise DropError(f"{member.place}: Feature dropout requires at least 2 dimensions in the input, got {x.ndim}")
    return [*x.shape[:2], *[1] * (x.ndim - 2)]


def _channels_unbatched(member: _Member, x: Tensor) -> Sequence[int]:
    if x.ndim < 1:
        raise DropError(f"{member.place}: Feature dropout requires at least 1 dimension without a batch, got 0")
    return [*x.shape[:1], *[1] * (x.ndim - 1)]


def _feature_dropout_unbatched(x: Tensor, p: float, training: bool) -> Tensor:
    return torch.feature_dropout(x.unsqueeze(0), p, training).squeeze(0)


_DROPOUT = _Member("dropout", torch.dropout, _elements, _zeroed)
_ALPHA = _Member("alpha_dropout", torch.alpha_dropout, _elements, _saturated)
_FEATURE_ALPHA = _Member("feature_alpha_dropout", torch.feature_alpha_dropout, _channels, _saturated)
_DROPOUT1D = _Member("dropout1d", torch.feature_dropout, _channels, _zeroed)
_DROPOUT2D = _Member("dropout2d", torch.feature_dropout, _channels, _zeroed)
_DROPOUT3D = _Member("dropout3d", torch.feature_dropout, _channels, _zeroed)
_DROPOUT1D_UNBATCHED = _Member("dropout1d", _feature_dropout_unbatched, _channels_unbatched, _zeroed)
_DROPOUT3D_UNBATCHED = _Member("dropout3d", _feature_dropout_unbatched, _channels_unbatched, _zeroed)
