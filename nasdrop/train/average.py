"""An exponential moving average of a network's weights, which is evaluated and kept in their place.

The decay starts low, min(decay, (1 + t) / (10 + t)) after t steps, so that a short training is not an average with its
own beginning. Running statistics of batch norms are averaged too: they belong to the weights; counters are copied.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """The average of a network's parameters and buffers, of those that its state dict holds.

    Args:
        network: as it is now the average begins with it.
        decay: in [0, 1).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self._live: dict[str, Tensor] = network.state_dict()
        self._kept = {name: value.clone() for name, value in self._live.items()}
        self._moving = [name for name, value in self._live.items() if value.is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Follow the network after a step, counted from 0 over the whole training."""
        share = 1.0 - min(self.decay, (1 + step) / (10 + step))
        kept, live = ([tensors[name] for name in self._moving] for tensors in (self._kept, self._live))
        torch._foreach_lerp_(kept, live, share)
        for name in self._kept.keys() - set(self._moving):
            self._kept[name].copy_(self._live[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the network is its average."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the network's weights with their average."""
        for name, live in self._live.items():
            held = live.clone()
            live.copy_(self._kept[name])
            self._kept[name].copy_(held)

    def state(self) -> Mapping[str, Tensor]:
        """What a checkpoint holds."""
        return self._kept

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take that back.

        Raises:
            KeyError: it is of another network.
        """
        for name, kept in self._kept.items():
            kept.copy_(state[name])
