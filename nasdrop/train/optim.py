"""SGD as the settings ask for: its optimiser, its rate over time, and when a training has failed."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from nasdrop.errors import RunError
from nasdrop.settings import WeightSettings


class DivergedError(RunError):
    """The loss is no longer a finite number."""


def make_optimizer(parameters: Sequence[nn.Parameter], settings: WeightSettings) -> torch.optim.SGD:
    """SGD with weight decay on all weights, those of batch norms and biases too: the convention of DARTS."""
    optimizer = torch.optim.SGD(
        parameters,
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    if settings.momentum:
        # torch's fused step fails where some momenta exist and others do not yet, as they do when a step skips parts
        # of the network; a momentum of zero is what the first step would start from.
        for weight in parameters:
            optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
    return optimizer


def learning_rate(settings: WeightSettings, step: int, steps: int, full_epochs: int) -> float:
    """The rate of a step: a line up over the warm-up epochs, then down as `settings.decay` says.

    Half a cosine ends at the final rate; "halving" divides by ten whenever half of the remaining steps are over, four
    times in all (FractalNet, arXiv:1605.07648).

    Args:
        settings: rates, warm-up and decay.
        step: from 0, over the whole training.
        steps: steps of an epoch.
        full_epochs: the budget, also for a training that stops early.
    """
    warmup = settings.warmup_epochs * steps
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / (full_epochs * steps - warmup)
    if settings.decay == "halving":
        return settings.learning_rate / float(10 ** min(4, math.floor(-math.log2(1 - progress))))
    share = (1 + math.cos(math.pi * progress)) / 2
    return settings.final_learning_rate + (settings.learning_rate - settings.final_learning_rate) * share


def refuse_divergence(split: str, loss: float, epoch: int) -> None:
    """Stop a training whose mean loss is no number any more; `epoch` counts from 0.

    Raises:
        DivergedError: it is NaN or infinite.
    """
    if not math.isfinite(loss):
        raise DivergedError(f"epoch {epoch + 1}: the {split} loss must be finite, got {loss}: the training diverged")
