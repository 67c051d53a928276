"""Activation checkpointing of a cell: its forward pass is computed again in the backward pass, and counted once."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

_Norm = nn.modules.batchnorm._BatchNorm


def recomputed(module: nn.Module, *inputs: Any) -> Tensor:
    """Call a module, keeping only its inputs for the backward pass."""

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_kept(module)

    call: Callable[..., Any] = checkpoint
    return cast(Tensor, call(module, *inputs, use_reentrant=False, context_fn=contexts))


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """Batch norms leave their running statistics, which the first pass has updated, and save the same tensors."""
    norms = [norm for norm in module.modules() if isinstance(norm, _Norm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
