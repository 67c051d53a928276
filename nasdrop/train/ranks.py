"""The processes that share a search or a training: started by torchrun, each with its rows of every batch.

Rank 0 alone writes. What is averaged is a mean over equal parts of a batch, so that the mean is that of the batch.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from nasdrop.errors import ConfigError


@dataclass(frozen=True)
class Ranks:
    """This process among its kind; a lone one by default.

    Attributes:
        rank: from 0.
        world_size: number of processes.
    """

    rank: int = 0
    world_size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def rows(self, batch: Tensor) -> Tensor:
        """This process's part of a global batch."""
        count = len(batch) // self.world_size
        return batch[self.rank * count : (self.rank + 1) * count]

    def average(self, tensors: Sequence[Tensor | None]) -> None:
        """Replace tensors by their means over all processes, in place, in one exchange; None is the same everywhere."""
        present = [tensor for tensor in tensors if tensor is not None]
        if self.world_size == 1 or not present:
            return
        flat = torch.cat([tensor.flatten() for tensor in present])
        dist.all_reduce(flat)
        flat /= self.world_size
        for tensor, part in zip(present, torch.split(flat, [tensor.numel() for tensor in present]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace gradients by their means over all processes, in one exchange.

        A parameter that took no part in one process counts as zero there, as it would among the rows of a whole batch;
        one that took no part anywhere keeps no gradient, so that an optimiser leaves it alone.
        """
        if self.world_size == 1:
            return
        present = torch.tensor([float(weight.grad is not None) for weight in parameters])
        parts = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in parameters]
        flat = torch.cat([*(part.flatten() for part in parts), present.to(parts[0])])
        dist.all_reduce(flat)
        *means, counts = torch.split(flat / self.world_size, [*(part.numel() for part in parts), len(parts)])
        taken = [True] * len(parts) if bool(present.all()) else (counts > 0).tolist()
        for weight, part, mean, took_part in zip(parameters, parts, means, taken, strict=True):
            if took_part:
                weight.grad = part.copy_(mean.view_as(part))

    def gather(self, tensor: Tensor) -> Tensor:
        """The tensors of all processes, stacked in the order of the ranks: (world size, *shape)."""
        if self.world_size == 1:
            return tensor[None]
        found = [torch.empty_like(tensor) for _ in range(self.world_size)]
        dist.all_gather(found, tensor.contiguous())
        return torch.stack(found)

    def wait(self) -> None:
        """Go on when all processes are here: rank 0 has written what the others read."""
        if self.world_size > 1:
            dist.barrier()

    def agree(self, value: float, device: torch.device) -> float:
        """The value of rank 0: what decides must be equal everywhere, to the last bit."""
        if self.world_size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=device)
        dist.broadcast(shared, src=0)
        return float(shared)


ALONE = Ranks()


def launched() -> bool:
    """Whether torchrun (or its like) started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def own_device(device: torch.device) -> torch.device:
    """The device of this process: of several processes on CUDA, each takes the one of its local rank."""
    if device.type != "cuda" or not launched():
        return device
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Join the processes that torchrun started; a lone process joins nobody.

    Args:
        device: of this process: nccl on CUDA, gloo elsewhere.

    Raises:
        ConfigError: this build of PyTorch cannot join processes.
    """
    if not launched():
        yield Ranks()
        return
    if not dist.is_available():
        raise ConfigError("torchrun: this PyTorch is built without torch.distributed; start one process")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
