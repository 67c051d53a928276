"""How much better a set of values would become by another value: in one objective, or in several at once."""

import numpy as np
from numpy.typing import NDArray

from nasdrop.searchers.samplers.process import Array, expected_improvement, normal_scores

_DIRECTIONS = 64  # in which a front is measured
_IN_VALUES = 0.5  # probability that it is measured in values instead of ranks
_SAMPLES = 16  # of what a member of an ensemble expects
_MARGIN = 0.1  # of an objective's range, from its worst value to the point from which the volume is measured


class Growth:
    """The best value of one objective, or the hypervolume that values of several dominate.

    A hypervolume is the mean over random directions of how far it reaches there, to the power of the number of
    objectives (arXiv:2006.04655); so is its growth. It is measured by chance either in ranks, where a sparse part of
    the front counts little, or in values, where a dense part does.

    Args:
        values: (objectives, n), higher is better.
        rng: of the directions and of the samples.
    """

    def __init__(self, values: Array, rng: np.random.Generator) -> None:
        self.rng, self.several = rng, len(values) > 1
        self.scores = np.stack([normal_scores(row) for row in values])
        if self.several:
            self._values = np.sort(values, axis=1) if rng.random() < _IN_VALUES else None
            points = self.scores if self._values is None else values
            self._worst = points.min(1) - _MARGIN * np.ptp(points, axis=1)
            self._range = np.maximum(points.max(1) - self._worst, 1e-12)
            directions = np.abs(rng.normal(size=(_DIRECTIONS, len(values))))
            self._directions = np.maximum(directions / np.linalg.norm(directions, axis=1, keepdims=True), 1e-3)
            self._reached = np.array([self._reach(direction, points) for direction in self._directions])

    def parents(self, count: int) -> list[int]:
        """Places of the best value, the second best and so on; of the best ones in as many directions, some once."""
        order: NDArray[np.intp] = np.argsort(-self.scores[0], kind="stable")
        if self.several:
            order = self._reached[:count].argmax(1)
        return list(dict.fromkeys(order[:count].tolist()))

    def merit(self) -> Array:
        """(n,): the value, or how far it reaches, on average over the directions."""
        return np.asarray(self._reached.mean(0) if self.several else self.scores[0], dtype=np.float64)

    def expected(self, means: Array, deviations: Array) -> Array:
        """How much better things are expected to become by each candidate, on average over an ensemble.

        Args:
            means: of scores, (objectives, members, candidates).
            deviations: likewise.
        """
        if not self.several:
            return expected_improvement(means[0], deviations[0], float(self.scores[0].max()))
        power, gain = len(means), np.zeros(means.shape[2])
        noise = self.rng.normal(size=(_SAMPLES, power, means.shape[1], 1))
        drawn = np.moveaxis(means + deviations * noise, 1, 0)  # (objectives, samples, members, candidates)
        if self._values is not None:
            known = np.sort(self.scores, axis=1)
            drawn = np.stack([np.interp(*row) for row in zip(drawn, known, self._values, strict=True)])
        for direction, reached in zip(self._directions, self._reached.max(1), strict=True):
            gain += np.maximum(self._reach(direction, drawn) ** power - reached**power, 0).mean((0, 1))
        return gain / _DIRECTIONS

    def _reach(self, direction: Array, points: Array) -> Array:
        """How far points (objectives, ...) reach in a direction, from where volumes are measured."""
        shape = (-1,) + (1,) * (points.ndim - 1)
        from_worst = (points - self._worst.reshape(shape)) / (self._range * direction).reshape(shape)
        return np.asarray(np.maximum(from_worst, 0).min(0), dtype=np.float64)
