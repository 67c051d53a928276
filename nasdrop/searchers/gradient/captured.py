"""Steps that are recorded once as CUDA graphs and replayed: one start from the host instead of thousands.

A recorded step reads its batch and masks from buffers that stay where they are, its learning rate from a tensor, and
mixes anew from the alphas that are there; so only strategies without a choice on the host can be recorded. A graph
keeps the memory of its step. Rules of recording: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs.
"""

import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from nasdrop.drop import Draw
from nasdrop.searchers.gradient.learner import Batch, Learner
from nasdrop.searchers.gradient.mixture import Active, Mixture
from nasdrop.train.device import isolated_rng

WARM_UP = 3  # steps before a step is recorded, in which libraries choose and load what they run
Inputs = Sequence[Tensor | None]


class Recorded:
    """A step as a CUDA graph.

    Args:
        step: computes a tensor from its inputs, and changes tensors in place; it waits for nothing on the device.
        inputs: of the first call; those of later ones have the same shapes.
        state: tells all tensors that a step changes, also those that the first one makes.
    """

    def __init__(self, step: Callable[..., Tensor], inputs: Inputs, state: Callable[[], Sequence[Tensor]]) -> None:
        self.inputs = [None if x is None else x.clone() for x in inputs]
        device = next(x.device for x in self.inputs if x is not None)
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream), kept(state), isolated_rng(device), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
            for _ in range(WARM_UP):
                step(*self.inputs)
        torch.cuda.current_stream(device).wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=stream):
            self.output = step(*self.inputs)

    def replay(self, inputs: Inputs) -> Tensor:
        """The step on new inputs; the result is overwritten by the next replay."""
        for static, new in zip(self.inputs, inputs, strict=True):
            if static is not None and new is not None:
                static.copy_(new, non_blocking=True)
        self.graph.replay()
        return self.output


class CapturedLearner(Learner):
    """A learner that records each of its steps at its first use, and again when other candidates are active."""

    recorder: Callable[..., Any] = Recorded

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._recorded: dict[Hashable, tuple[Active | None, Any]] = {}
        for group in self.weight_optimizer.param_groups:
            group["lr"] = torch.tensor(self.settings.learning_rate, device=self.device)
        for group in self.alpha_optimizer.param_groups:
            group["capturable"] = self.device.type == "cuda"

    def run(
        self, step: Callable[..., Tensor], batch: Batch, mixture: Mixture, paths: Draw, *options: Hashable
    ) -> Tensor:
        """Replay a step; the mixture is computed anew in it."""
        inputs = (*batch, paths.factors, paths.choices)
        key = (step.__name__, options, tuple(None if x is None else (x.shape, x.dtype) for x in inputs))
        active, recorded = self._recorded.get(key, (None, None))
        if recorded is None or active is not self.active:
            self._recorded.pop(key, None)  # its memory is free before the next one takes as much

            def call(images: Tensor, labels: Tensor, factors: Tensor | None, choices: Tensor | None) -> Tensor:
                return step((images, labels), self.expected(), Draw(factors, choices), *options)

            recorded = self.recorder(call, inputs, self.changing)
            self._recorded[key] = (self.active, recorded)
        return recorded.replay(inputs)  # type: ignore[no-any-return]

    def changing(self) -> list[Tensor]:
        """All tensors that a step changes in place."""
        states = [
            state for optimizer in (self.weight_optimizer, self.alpha_optimizer) for state in optimizer.state.values()
        ]
        kept_by_optimizers = [value for state in states for value in state.values() if isinstance(value, Tensor)]
        return [*self.weights, *self.alphas, *self.supernet.buffers(), *kept_by_optimizers]


@contextmanager
def kept(state: Callable[[], Sequence[Tensor]]) -> Iterator[None]:
    """Inside, tensors may change in place; then they are as before, and those that have appeared are zero.

    Zero is what the state of SGD and Adam starts from.
    """
    before = [(tensor, tensor.detach().clone()) for tensor in state()]
    known = {id(tensor) for tensor, _ in before}
    yield
    with torch.no_grad():
        for tensor, value in before:
            tensor.copy_(value)
        for tensor in state():
            if id(tensor) not in known:
                tensor.zero_()
