"""Derivatives along a direction by central differences, and the unrolled step of DARTS (arXiv:1806.09055, eq. 7).

Both gradients of a difference must see the same masks: with fresh masks the noise of drop path is hundreds of times the
signal. So a caller passes a function that is pure but for the parameters. And what lies between the two points counts:
a ReLU that changes sides there adds a jump that no derivative has (docs/gradient.md has figures).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Gradient = Callable[[], Sequence[Tensor]]

RADIUS = 1e-2  # of a difference, in the parameters' norm: that of the authors


@torch.no_grad()
def directional(
    gradient: Gradient, parameters: Sequence[Tensor], direction: Sequence[Tensor], radius: float = RADIUS
) -> list[Tensor]:
    """The derivative of `gradient` as `parameters` move along `direction`.

    Args:
        gradient: computes gradients of any tensors at the parameters' present values.
        parameters: moved in place, and put back bit for bit.
        direction: a tensor a parameter.
        radius: length of the step to each side.

    Returns:
        (gradient at + e d, minus gradient at - e d) / 2 e, with e = radius / |d|; zeros for a direction of length 0.
    """
    length = norm(direction)
    scale = torch.where(length > 0, radius / length, 0.0)
    kept = [parameter.detach().clone() for parameter in parameters]
    steps = [scale.to(part.dtype) * part for part in direction]
    torch._foreach_add_(list(parameters), steps)
    ahead = [part.clone() for part in gradient()]
    torch._foreach_copy_(list(parameters), kept)
    torch._foreach_sub_(list(parameters), steps)
    behind = gradient()
    torch._foreach_copy_(list(parameters), kept)
    half = torch.where(length > 0, length / (2 * radius), 0.0)
    return [half.to(a.dtype) * (a - b) for a, b in zip(ahead, behind, strict=True)]


def norm(tensors: Sequence[Tensor]) -> Tensor:
    """Euclidean norm of all tensors together, on their device."""
    length: Tensor = torch.linalg.vector_norm(torch.stack(list(torch._foreach_norm(list(tensors)))))
    return length


class Unrolled:
    """Inside a `with` block the weights are those after one step of their optimiser; then they are as before.

    Args:
        weights: parameters of an SGD.
        gradient: their gradients on a training batch.
        rate: of the step that is looked ahead.
        momentum: of the optimiser.
        decay: weight decay.
        buffers: momentum buffers.
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        gradient: Sequence[Tensor],
        *,
        rate: float,
        momentum: float,
        decay: float,
        buffers: Sequence[Tensor],
    ) -> None:
        self.weights = list(weights)
        self._ahead = [
            -rate * (part + decay * weight.detach() + momentum * buffer)
            for weight, part, buffer in zip(weights, gradient, buffers, strict=True)
        ]

    def __enter__(self) -> None:
        self._kept = [weight.detach().clone() for weight in self.weights]
        with torch.no_grad():
            torch._foreach_add_(self.weights, self._ahead)

    def __exit__(self, *_error: object) -> None:
        with torch.no_grad():
            torch._foreach_copy_(self.weights, self._kept)
