"""How good answers are, beyond the share of correct ones; each metric as scikit-learn defines it.

Shapes: N samples, K classes.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

Metric = Literal["accuracy", "balanced_accuracy", "macro_f1", "top5"]

_TOP = 5


def hits_at(logits: Tensor, labels: Tensor, count: int = _TOP) -> Tensor:
    """Whether the label is among the `count` largest logits, (N,); of equal logits the later class is the larger.

    Args:
        logits: (N, K).
        labels: (N,).
        count: how many answers are allowed.
    """
    own = logits.gather(1, labels.view(-1, 1))
    later = torch.arange(logits.shape[1], device=logits.device) > labels.view(-1, 1)
    return ((logits > own) | ((logits == own) & later)).sum(1) < count


def measure(answers: Tensor, labels: Tensor, hits: Tensor, num_classes: int) -> Mapping[Metric, float]:
    """All metrics, each in [0, 1].

    Balanced accuracy is the mean recall of the classes that occur among the labels; macro F1 the mean F1 of those that
    occur among labels or answers. `top5` is left out where there are no more than five classes.

    Args:
        answers: (N,), the classes of the largest logits.
        labels: (N,).
        hits: (N,), as `hits_at` gives them.
        num_classes: K.
    """
    pairs = torch.bincount(labels * num_classes + answers, minlength=num_classes**2)
    confusion = pairs.view(num_classes, num_classes).double().cpu()
    right, given, said = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    f1 = 2 * right / (given + said).clamp(min=1)
    found: dict[Metric, float] = {
        "accuracy": float(right.sum() / confusion.sum()),
        "balanced_accuracy": float((right / given.clamp(min=1))[given > 0].mean()),
        "macro_f1": float(f1[given + said > 0].mean()),
    }
    return found | ({"top5": float(hits.double().mean())} if num_classes > _TOP else {})
