"""The dropout family as modules: each holds its own p as data, so that one compiled graph serves a whole schedule.

p is a 0-dim fp32 buffer that stays fp32 under every `.to` and `.half`, and is left out of the state dict: a rate
belongs to the schedule, and a checkpoint of the network without drop path loads. `module.p = 0.3` checks the range.
"""
# ruff: noqa: FBT001, FBT002 - the signatures are torch's, which takes its switches by position

from collections.abc import Callable
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from nasdrop.drop.functional import (
    alpha_dropout,
    check_mode,
    check_not_inplace,
    drop_path,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)
from nasdrop.drop.masks import Rate, check_rate


def keep_float32(buffer: Tensor, moved: Tensor) -> Tensor:
    """A rates buffer after `.to`, `.half` and the like: where it was moved to, with the values that it had before."""
    return moved if moved.dtype == torch.float32 else buffer.to(device=moved.device, dtype=torch.float32)


class Drop(nn.Module):
    """Base of all modules with a drop probability.

    Args:
        p: Probability of dropping, in [0, 1].

    Raises:
        DropError: p is not in [0, 1], here and whenever it is set.
    """

    p: Tensor

    def __init__(self, p: Rate) -> None:
        super().__init__()
        self._initial_p = float(check_rate(type(self).__name__, p))
        self.register_buffer("p", torch.tensor(self._initial_p, dtype=torch.float32), persistent=False)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "p" and "p" in self.__dict__.get("_buffers", {}):
            self.p.fill_(float(check_rate(type(self).__name__, value)))
        else:
            super().__setattr__(name, value)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        before = self.p
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        after = self._buffers["p"]
        assert after is not None  # noqa: S101 - registered above
        if before.is_meta and not after.is_meta:
            after = torch.tensor(self._initial_p, device=after.device)
        self._buffers["p"] = after if before.is_meta else keep_float32(before, after)
        return self

    def extra_repr(self) -> str:
        """Show p, as torch's modules do."""
        return f"p={self._initial_p if self.p.is_meta else round(self.p.item(), 6)}"


class _TorchDropout(Drop):
    """Base of the modules with torch's names: torch's arguments, with `inplace` refused."""

    def __init__(self, p: Rate = 0.5, inplace: bool = False) -> None:
        check_not_inplace(type(self).__name__, inplace)
        super().__init__(p)


class Dropout(_TorchDropout):
    """Zeroes single elements: `dropout`."""

    def forward(self, x: Tensor) -> Tensor:
        """Drop while training."""
        return dropout(x, self.p, self.training)


class AlphaDropout(_TorchDropout):
    """Sets single elements to SELU's saturation value: `alpha_dropout`."""

    def forward(self, x: Tensor) -> Tensor:
        """Drop while training."""
        return alpha_dropout(x, self.p, self.training)


class FeatureAlphaDropout(_TorchDropout):
    """Sets whole channels to SELU's saturation value: `feature_alpha_dropout`."""

    def forward(self, x: Tensor) -> Tensor:
        """Drop while training."""
        return feature_alpha_dropout(x, self.p, self.training)


class Dropout1d(_TorchDropout):
    """Zeroes whole channels of (N, C, L) or (C, L): `dropout1d`."""

    def forward(self, x: Tensor) -> Tensor:
        """Drop while training."""
        return dropout1d(x, self.p, self.training)


class Dropout2d(_TorchDropout):
    """Zeroes whole channels of (N, C, H, W): `dropout2d`."""

    def forward(self, x: Tensor) -> Tensor:
        """Drop while training."""
        return dropout2d(x, self.p, self.training)


class Dropout3d(_TorchDropout):
    """Zeroes whole channels of (N, C, D, H, W) or (C, D, H, W): `dropout3d`."""

    def forward(self, x: Tensor) -> Tensor:
        """Drop while training."""
        return dropout3d(x, self.p, self.training)


class DropPath(Drop):
    """Zeroes whole samples of one of several branches that are added up: `drop_path`.

    Args:
        p: Probability of dropping, in [0, 1].
        mode: "row" decides for each sample, "batch" once for all of them.
        scale: Whether to divide what is kept by 1 - p.
    """

    def __init__(self, p: Rate = 0.0, mode: Literal["row", "batch"] = "row", scale: bool = True) -> None:
        check_mode("DropPath", mode)
        super().__init__(p)
        self.mode = mode
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Drop while training."""
        return drop_path(x, self.p, self.training, self.mode, self.scale)

    def extra_repr(self) -> str:
        """Show p and what differs from the defaults."""
        mode = "" if self.mode == "row" else f", mode={self.mode}"
        return super().extra_repr() + mode + ("" if self.scale else ", scale=False")
