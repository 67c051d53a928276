"""A cell's value by inherited weights: the discovered network with its supernet's weights, scored as it is.

SPOS (arXiv:1904.00420): batch norm's statistics belong to a path, so they are estimated anew before each score.
"""

import math
import random
from collections.abc import Callable
from itertools import islice

from torch import Tensor

from nasdrop.models.supernet import SuperNet
from nasdrop.settings import ScoringSettings, WeightSettings
from nasdrop.space import Genotype, SearchSpace
from nasdrop.train import Dataset, Score, evaluate, train_batches
from nasdrop.train.data import sample
from nasdrop.train.device import isolated_rng, seed_rng
from nasdrop.train.metrics import Metric

STATISTICS_BATCHES = 8


class InheritedScore:
    """Scores cells of a supernet's space; equal cells get equal scores, and the supernet is left as it is.

    Args:
        supernet: trained, on its device.
        data: batches of `train` give the statistics, `valid` the score.
        settings: of the batches: their size and augmentation.
        seed: which batches.
        batches: their number.
        images: validation images that a cell is scored on, a stratified part; 0: all.
    """

    def __init__(
        self,
        supernet: SuperNet,
        data: Dataset,
        settings: WeightSettings,
        *,
        seed: int = 0,
        batches: int = STATISTICS_BATCHES,
        images: int = 0,
    ) -> None:
        self.supernet, self.data = supernet, data
        self.valid = sample(data.valid, images) if images else data.valid
        drawn = train_batches(data.train, data, settings, seed=seed, epoch=0)
        self._batches: tuple[Tensor, ...] = tuple(images for images, _ in islice(drawn, batches))

    def __call__(self, genotype: Genotype) -> Score:
        """The score on the validation split.

        Args:
            genotype: of the supernet's space.
        """
        device = self.supernet.classifier.weight.device
        with isolated_rng(device):
            seed_rng(device, 0)  # whatever the supernet has no weights for starts alike in every cell
            network = self.supernet.inherit(genotype, self._batches)
        return evaluate(network, self.valid, self.data)


def worth(score: Score, settings: ScoringSettings, metric: Metric) -> float:
    """What a cell counts as, in [0, 1]: the metric, or the likelihood, which is finer where cells hardly differ."""
    return math.exp(-score.loss) if settings.score == "likelihood" else score.value(metric)


def best_cells(
    score: Callable[[Genotype], float],
    space: SearchSpace,
    dice: random.Random,
    *,
    cells: int,
    generations: int = 0,
    population: int = 10,
    scored: Callable[[Genotype, float], None] | None = None,
) -> list[tuple[Genotype, float]]:
    """Random cells, then mutants of the best ones; all that were scored, the best first.

    Args:
        score: higher is better.
        space: what is sampled and mutated.
        dice: draws both.
        cells: random cells that are drawn; those equal in canonical form are scored once.
        generations: rounds of mutation.
        population: best cells, each of which is mutated once a round.
        scored: called with each cell and its score.
    """
    known: dict[str, tuple[Genotype, float]] = {}

    def consider(genotype: Genotype) -> None:
        key = space.canonical(genotype)
        if key not in known:
            known[key] = (genotype, score(genotype))
            if scored:
                scored(*known[key])

    for _ in range(cells):
        consider(space.sample(dice))
    for _ in range(generations):
        for genotype, _ in _ranked(known)[:population]:
            consider(space.mutate(genotype, dice))
    return _ranked(known)


def _ranked(known: dict[str, tuple[Genotype, float]]) -> list[tuple[Genotype, float]]:
    return sorted(known.values(), key=lambda entry: -entry[1])
