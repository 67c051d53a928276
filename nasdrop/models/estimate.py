"""What a training step of a network will cost, told before it runs: peak memory and seconds.

Memory is counted, not measured: two steps with a few images tell, call by call, how the bytes of all living tensors
grow with the batch, and the largest sum at the wanted batch is the peak. Scratch space inside a kernel, the allocator's
own overhead and the data set are not in it. Time is measured, on the network's device, with torch's present threads.
"""

import copy
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.benchmark import Timer

_FEW = (2, 4)  # images of the steps that are counted; batch norm needs two


@dataclass(frozen=True)
class Estimate:
    """A training step's cost.

    Attributes:
        bytes: peak of all tensors: weights, momenta, gradients, batch, and what the backward pass keeps.
        seconds: median time of one step: forward, backward and SGD.
    """

    bytes: int
    seconds: float


def estimate(
    network: nn.Module,
    shape: tuple[int, ...],
    batch_size: int,
    *,
    autocast: torch.dtype | None = None,
    momentum: bool = True,
    steps: int = 3,
) -> Estimate:
    """Memory and time of a training step with SGD; the network stays as it is.

    Args:
        network: in its training mode gives logits (N, classes), or a tuple of logits and auxiliary logits; on the
            device where it will be trained.
        shape: of one image, (C, *S).
        batch_size: images of a step.
        autocast: number format of the forward pass; None: fp32.
        momentum: the optimiser keeps one tensor a weight.
        steps: how many are timed, after one that is not.
    """
    size = training_bytes(network, shape, batch_size, autocast=autocast, momentum=momentum)
    return Estimate(size, step_seconds(network, shape, batch_size, autocast=autocast, steps=steps))


def training_bytes(
    network: nn.Module,
    shape: tuple[int, ...],
    batch_size: int,
    *,
    autocast: torch.dtype | None = None,
    momentum: bool = True,
) -> int:
    """Peak bytes of all tensors in a training step; see `estimate`."""
    held = _storages([*network.parameters(), *network.buffers()])
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    momenta = sum(weight.numel() * weight.element_size() for weight in weights) if momentum else 0
    fixed = sum(storage.nbytes() for storage in held) + momenta
    traces = []
    for images in _FEW:
        step = _step(network, shape, images, autocast)
        with _Living() as living:
            step()
        traces.append(living.trace)
    return fixed + _peak(traces, batch_size)


def step_seconds(
    network: nn.Module, shape: tuple[int, ...], batch_size: int, *, autocast: torch.dtype | None = None, steps: int = 3
) -> float:
    """Median seconds of a training step; see `estimate`."""
    scope: dict[str, Callable[[], None]] = {"step": _step(network, shape, batch_size, autocast)}
    timer = Timer("step()", globals=scope, num_threads=torch.get_num_threads())
    timer.timeit(1)
    return float(torch.tensor([timer.timeit(1).median for _ in range(steps)]).median())


def _step(network: nn.Module, shape: tuple[int, ...], images: int, autocast: torch.dtype | None) -> Callable[[], None]:
    """A training step of a copy, on noise: even values would give batch norm gradients near zero, which are slow."""
    network = copy.deepcopy(network).train()
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    device = weights[0].device
    optimizer = torch.optim.SGD(weights, lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        batch = torch.randn(images, *shape, device=device)
        if batch.dim() == 4:
            batch = batch.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, autocast, enabled=autocast is not None):
            output = network(batch)
        logits = [part for part in tree_leaves(output) if isinstance(part, Tensor)]
        labels = torch.randint(logits[0].shape[1], (images,), device=device)
        torch.stack([functional.cross_entropy(part.float(), labels) for part in logits]).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def _peak(traces: Sequence[Sequence[int]], batch_size: int) -> int:
    """The largest sum at a batch, each call's bytes being a line through those at the few images."""
    few, more = traces
    if len(few) != len(more):  # what runs depends on a draw, as in a fractal network: the peaks alone
        few, more = [max(few)], [max(more)]
    per_image = _FEW[1] - _FEW[0]
    return max(low + (high - low) * (batch_size - _FEW[0]) // per_image for low, high in zip(few, more, strict=True))


class _Living(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes after each operator how many bytes are alive of the storages that were made inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace: list[int] = []
        self._now = 0
        self._known: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        before = {storage._cdata for storage in _storages(tree_leaves((args, kwargs)))}
        result = func(*args, **(kwargs or {}))
        for storage in _storages(tree_leaves(result)):
            if storage._cdata not in before and storage._cdata not in self._known:
                self._add(storage)
        self.trace.append(self._now)
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()

        def gone(_: object) -> None:
            del self._known[key]
            self._now -= size

        self._known[key] = weakref.ref(storage, gone)
        self._now += size


def _storages(values: Iterable[object]) -> list[torch.UntypedStorage]:
    """The storages of all tensors among some values, each once."""
    found = {}
    for value in values:
        if isinstance(value, Tensor):
            storage = value.untyped_storage()
            found[storage._cdata] = storage
    return list(found.values())
