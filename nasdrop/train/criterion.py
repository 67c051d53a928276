"""The loss that a training minimises: cross-entropy, with weights a class if wanted, or a user's own function."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from nasdrop.errors import ConfigError
from nasdrop.own import load_attribute
from nasdrop.settings import WeightSettings

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits (N, K) in fp32 and labels (N,) -> their mean loss, a tensor without axes."""


def make_loss(settings: WeightSettings, labels: Tensor, num_classes: int, folders: Sequence[Path] = (Path(),)) -> Loss:
    """The loss of a training.

    Args:
        settings: label smoothing, class weights, or the user's own loss.
        labels: of the training images, on their device; balanced weights are derived from them.
        num_classes: K.
        folders: where the file of a user's own loss is looked for, in this order.

    Raises:
        ConfigError: there are not K weights, settings exclude each other, or the own loss cannot be used.
    """
    if settings.loss:
        wrong = {"class_weights": settings.class_weights, "label_smoothing": settings.label_smoothing}
        lines = [
            f"{key}: a loss of your own has none, got {value!r}"
            for key, value in wrong.items()
            if value not in ("none", 0)
        ]
        if lines:
            raise ConfigError(*lines)
        return _checked(_own(settings.loss, folders), settings.loss, num_classes, labels.device)
    weights = class_weights(settings.class_weights, labels, num_classes)

    def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
        weight = None if weights is None else weights.to(logits.dtype)
        return functional.cross_entropy(logits, labels, weight, label_smoothing=settings.label_smoothing)

    return cross_entropy


def class_weights(wanted: str | Sequence[float], labels: Tensor, num_classes: int) -> Tensor | None:
    """Weights of the classes, (K,), on the device of the labels; None: all count alike.

    Args:
        wanted: "none"; "balanced", N / (K N_c) for a class of N_c among N images, 1 for one without; or the K weights.
        labels: (N,).
        num_classes: K.

    Raises:
        ConfigError: there are not K weights, or none is above 0.
    """
    if not wanted or wanted == "none":
        return None
    if wanted == "balanced":
        counts = torch.bincount(labels, minlength=num_classes)
        return torch.where(counts > 0, len(labels) / (num_classes * counts.clamp(min=1)), 1.0)
    values = [float(value) for value in wanted]
    if len(values) != num_classes or not max(values) > 0:
        raise ConfigError(f"class_weights: must be {num_classes} weights, one a class, not all 0, got {values}")
    return torch.tensor(values, device=labels.device)


def loss_file(reference: str, folders: Sequence[Path] = (Path(),)) -> Path:
    """The file of a loss `path/file.py:name`; a folder may hold it as `file.py` alone, as a run folder does.

    Raises:
        ConfigError: the reference is not of that form, or there is no such file.
    """
    path, _, name = reference.rpartition(":")
    if not (path.endswith(".py") and name.isidentifier()):
        raise ConfigError(f"loss: must read 'file.py:name', got {reference!r}")
    for folder in folders:
        for place in (folder / path, folder / Path(path).name):
            if place.is_file():
                return place
    raise ConfigError(f"loss: no such file, got {reference!r}")


def _own(reference: str, folders: Sequence[Path]) -> Loss:
    return load_attribute(loss_file(reference, folders), reference.rpartition(":")[2], ConfigError)


def _checked(loss: Loss, reference: str, num_classes: int, device: torch.device) -> Loss:
    """Try a loss once, before hours are spent."""
    logits = torch.zeros(2, num_classes, device=device, requires_grad=True)
    value = loss(logits, torch.tensor([0, num_classes - 1], device=device))
    if not isinstance(value, Tensor) or value.dim() or not value.requires_grad:
        got = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ConfigError(f"loss {reference}: must return the mean loss, one number to differentiate, got {got}")
    return loss
