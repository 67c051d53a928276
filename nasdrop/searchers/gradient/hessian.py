"""The dominant eigenvalue of the Hessian of the alphas' loss: where it grows, a cell is about to collapse.

RobustDARTS (arXiv:1909.09656) computes all 224 rows; power iteration finds the one eigenvalue that its rule looks at.
The products are exact: differences of gradients would mostly count the kinks of ReLU that lie between their two points.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nasdrop.searchers.gradient.second_order import norm

ITERATIONS = 50
TOLERANCE = 1e-3

Product = Callable[[Sequence[Tensor]], Sequence[Tensor]]


def hessian_product(loss: Tensor, parameters: Sequence[Tensor]) -> Product:
    """A function that multiplies the Hessian of a loss with a direction, by differentiating its gradient."""
    gradient = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True, materialize_grads=True)

    def product(direction: Sequence[Tensor]) -> Sequence[Tensor]:
        return torch.autograd.grad(
            gradient, parameters, direction, retain_graph=True, allow_unused=True, materialize_grads=True
        )

    return product


def dominant_eigenvalue(
    product: Product, like: Sequence[Tensor], *, generator: torch.Generator, iterations: int = ITERATIONS
) -> float:
    """The eigenvalue of largest size, with its sign, of a symmetric matrix that is known by its products.

    Args:
        product: multiplies a direction.
        like: tensors of the shape of a direction.
        generator: draws the first direction, on the CPU.
        iterations: most products; fewer where the value no longer changes by a thousandth.
    """
    direction = [torch.randn(part.shape, generator=generator, dtype=part.dtype).to(part.device) for part in like]
    value = 0.0
    for _ in range(iterations):
        length = norm(direction)
        if float(length) == 0.0:
            return 0.0
        direction = [part / length for part in direction]
        multiplied = product(direction)
        before, value = value, float(sum((a * b).sum() for a, b in zip(direction, multiplied, strict=True)))
        if abs(value - before) <= TOLERANCE * abs(value):
            break
        direction = list(multiplied)
    return value


@contextmanager
def kept_buffers(network: nn.Module) -> Iterator[None]:
    """Inside, forward passes may update running statistics; then every buffer is as before."""
    kept = [(buffer, buffer.clone()) for buffer in network.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)
