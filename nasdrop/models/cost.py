"""What a network costs: its parameters and multiply-adds, counted without computing and without memory."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """Parameters, and multiply-accumulates of convolutions and matrix products for one input."""

    parameters: int
    multiply_adds: int


def count(network: nn.Module, input_shape: tuple[int, ...]) -> Cost:
    """Count a network in evaluation: an auxiliary head has parameters and no multiply-adds.

    Every operation that the forward pass runs counts, also one whose result the output does not depend on.

    Args:
        network: any module that maps one tensor; it is left as it was.
        input_shape: of one image, (C, *S).
    """
    parameters = sum(parameter.numel() for parameter in network.parameters())
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
    return Cost(parameters, counter.get_total_flops() // 2)
