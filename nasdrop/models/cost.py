"""What a network costs: parameters and multiply-adds, counted without computing; and the time that it takes here."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """Parameters, and multiply-accumulates of convolutions and matrix products for one input."""

    parameters: int
    multiply_adds: int


def count(network: nn.Module, input_shape: tuple[int, ...]) -> Cost:
    """Count a network in evaluation: an `auxiliary` head, which acts in training alone, does not count.

    Every operation that the forward pass runs counts, also one whose result the output does not depend on.

    Args:
        network: any module that maps one tensor; it is left as it was.
        input_shape: of one image, (C, *S).
    """
    # Shadows of the weights on the meta device have shapes and no values, so nothing is copied or computed.
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shadows = {name: torch.empty_like(tensor, device="meta") for name, tensor in state.items()}
    modes = {module: module.training for module in network.modules()}
    counter = FlopCounterMode(display=False)
    try:
        network.eval()
        with torch.no_grad(), counter:
            functional_call(network, shadows, (torch.empty(1, *input_shape, device="meta"),))
    finally:
        for module, training in modes.items():
            module.training = training
    return Cost(count_parameters(network), counter.get_total_flops() // 2)


def count_parameters(network: nn.Module) -> int:
    """Weights of a network, an `auxiliary` head apart."""
    named = network.named_parameters()
    return sum(parameter.numel() for name, parameter in named if not name.startswith("auxiliary."))


def latency(network: nn.Module, input_shape: tuple[int, ...], batch: int = 1, *, least: float = 0.3) -> float:
    """Median seconds of one evaluation on the network's device, warm, with the threads that torch has now.

    Args:
        network: any module that maps one tensor; its mode is restored afterwards.
        input_shape: of one image, (C, *S).
        batch: images at once.
        least: seconds to measure for, at least.
    """
    weight = next(network.parameters())
    images = torch.randn(batch, *input_shape, device=weight.device, dtype=weight.dtype)
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            scope = {"network": network, "images": images}
            timer = Timer("network(images)", globals=scope, num_threads=torch.get_num_threads())
            timer.timeit(3)
            return float(timer.blocked_autorange(min_run_time=least).median)
    finally:
        network.train(training)
