"""How good a network is on labelled images; the network and torch's random state are left as they were."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from nasdrop.errors import ConfigError, DataError
from nasdrop.train.batches import eval_batches
from nasdrop.train.data import AnyImages, Dataset
from nasdrop.train.device import isolated_rng
from nasdrop.train.metrics import Metric, hits_at, measure

Autocast = Literal["none", "bfloat16", "float16"]

_TYPES = {"none": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Score:
    """Result of an evaluation.

    Attributes:
        accuracy: share of correct answers, in [0, 1].
        loss: mean cross-entropy, without label smoothing.
        correct: number of correct answers.
        total: number of images.
        metrics: accuracy, balanced_accuracy, macro_f1 and, of more than five classes, top5; each in [0, 1].
    """

    accuracy: float
    loss: float
    correct: int
    total: int
    metrics: Mapping[Metric, float] = field(default_factory=dict)

    def value(self, metric: Metric) -> float:
        """One of the metrics.

        Raises:
            ConfigError: it is not defined for so few classes.
        """
        if metric == "accuracy":
            return self.accuracy
        if metric not in self.metrics:
            raise ConfigError(f"train.metric: {metric} needs more than five classes; known: {', '.join(self.metrics)}")
        return self.metrics[metric]


def evaluate(
    network: nn.Module,
    images: AnyImages,
    data: Dataset,
    *,
    batch_size: int = 512,
    autocast: Autocast = "none",
    channels_last: bool = True,
) -> Score:
    """Score a network in evaluation mode; afterwards every module is in the mode that it was in.

    Args:
        network: on the device of the images; gives logits (N, classes).
        images: one of the splits of `data`.
        data: whose mean and standard deviation normalise.
        batch_size: how many images at a time; a matter of memory, not of the result.
        autocast: number format of the forward pass.
        channels_last: memory format of the batches.

    Raises:
        DataError: there are no images.
    """
    if len(images) == 0:
        raise DataError("evaluate: must have images to score on, got none")
    device = images.labels.device
    loss, answers, hits, classes = torch.zeros((), device=device), [], [], 1
    with eval_mode(network), isolated_rng(device), torch.no_grad():
        for batch, labels in eval_batches(images, data, batch_size=batch_size, channels_last=channels_last):
            with autocasting(device, autocast):
                logits = network(batch)
            loss += functional.cross_entropy(logits.float(), labels, reduction="sum")
            answers.append(logits.argmax(1))
            hits.append(hits_at(logits, labels))
            classes = logits.shape[1]
    said = torch.cat(answers)
    number = int((said == images.labels).sum())
    metrics = measure(said, images.labels, torch.cat(hits), classes)
    return Score(number / len(images), float(loss) / len(images), number, len(images), metrics)


def evaluate_parts(
    network: nn.Module, images: AnyImages, data: Dataset, *, autocast: Autocast = "none", channels_last: bool = True
) -> dict[str, float]:
    """Accuracy in [0, 1] of each part that a network wants scored beside itself: of the modules of its `parts()`."""
    parts: Callable[[], Mapping[str, nn.Module]] | None = getattr(network, "parts", None)
    return {
        name: evaluate(part, images, data, autocast=autocast, channels_last=channels_last).accuracy
        for name, part in (parts() if parts else {}).items()
    }


def autocasting(device: torch.device, kind: Autocast) -> torch.autocast:
    """The context of a forward pass in a number format; "none" is fp32."""
    return torch.autocast(device.type, _TYPES[kind], enabled=kind != "none")


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Inside, the network is in evaluation mode; then each module is in its own mode again."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
