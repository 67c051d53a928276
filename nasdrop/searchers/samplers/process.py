"""A Gaussian process over squared distances, with hyperparameters sampled from their posterior; numpy alone.

Kernel: the mean over groups of features of exp(-d² / (2 length²)), times a variance, plus noise. Each member of the
ensemble walks through the hyperparameters by itself, so no single fit decides (arXiv:1206.2944, section 3.2).
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_LENGTH = (math.log(3.0), 1.0)  # mean and deviation of the log of 2 length² in units of a typical squared distance
_NOISE = (math.log(0.02), 1.5)  # likewise of the noise in units of the signal's variance
_STEP = 0.8
_JITTER = 1e-6
_erf = np.frompyfunc(math.erf, 1, 1)


class GaussianProcess:
    """An ensemble of Gaussian processes that share their data.

    Args:
        num_groups: kinds of distances.
        rng: of the walks.
        members: size of the ensemble.
    """

    def __init__(self, num_groups: int, rng: np.random.Generator, members: int = 4) -> None:
        self.rng = rng
        self.log_parameters = np.tile([_LENGTH[0]] * num_groups + [_NOISE[0]], (members, 1))
        self._means = np.array([_LENGTH[0]] * num_groups + [_NOISE[0]])
        self._deviations = np.array([_LENGTH[1]] * num_groups + [_NOISE[1]])
        self._turn = -1

    def walk(self, distances: Sequence[Array], values: Array, steps: int) -> None:
        """Move one member by random-walk Metropolis on likelihood times prior; at the first call all, twice as far.

        Args:
            distances: (n, n) a group, in units of a typical squared distance.
            values: (n,), with mean zero.
            steps: proposals a member.
        """
        first = self._turn < 0
        for member in range(len(self.log_parameters)) if first else (self._turn,):
            here = self.log_parameters[member]
            height = self._log_posterior(distances, values, here)
            for _ in range(2 * steps if first else steps):
                there = here.copy()
                there[self.rng.integers(len(here))] += self.rng.normal(0, _STEP)
                new = self._log_posterior(distances, values, there)
                if math.log(1 - self.rng.random()) < new - height:
                    here, height = there, new
            self.log_parameters[member] = here
        self._turn = (self._turn + 1) % len(self.log_parameters)

    def posterior(
        self, known: Sequence[Array], pending: int, candidates: Sequence[Array], values: Array
    ) -> tuple[Array, Array]:
        """What each member expects of the candidates: means and standard deviations, (members, candidates) each.

        What is still being evaluated narrows the variance and leaves the mean, as if it will come out as expected.

        Args:
            known: distances (n + pending, n + pending) a group, evaluated cells first.
            pending: cells without a value yet.
            candidates: distances (n + pending, candidates) a group.
            values: (n,), with mean zero.
        """
        means, deviations = [], []
        count = len(values)
        for parameters in self.log_parameters:
            factor = self._factor(known, parameters)
            whitened = np.linalg.solve(factor, self._kernel(candidates, parameters))
            weights = np.linalg.solve(factor[:count, :count], values)
            means.append(weights @ whitened[:count])
            variance = np.maximum(1 - (whitened * whitened).sum(0), 1e-9) * (weights @ weights) / count
            deviations.append(np.sqrt(np.maximum(variance, 1e-12)))
        return np.array(means), np.array(deviations)

    def _log_posterior(self, distances: Sequence[Array], values: Array, parameters: Array) -> float:
        """Marginal likelihood, the signal's variance at its best, times the prior; a logarithm, up to a constant."""
        factor = self._factor(distances, parameters)
        weights = np.linalg.solve(factor, values)
        fit = 0.5 * len(values) * math.log(weights @ weights / len(values)) + np.log(np.diag(factor)).sum()
        prior = (((parameters - self._means) / self._deviations) ** 2).sum() / 2
        return -float(fit + prior)

    def _factor(self, distances: Sequence[Array], parameters: Array) -> Array:
        """Cholesky factor of the kernel matrix with noise."""
        kernel = self._kernel(distances, parameters)
        kernel[np.diag_indices(len(kernel))] += math.exp(parameters[-1]) + _JITTER
        return np.asarray(np.linalg.cholesky(kernel), dtype=np.float64)

    def _kernel(self, distances: Sequence[Array], parameters: Array) -> Array:
        total = np.zeros(distances[0].shape)
        for distance, parameter in zip(distances, parameters, strict=False):  # the last one is the noise
            total += np.exp(distance * -math.exp(-parameter))
        return total / len(distances)


def expected_improvement(means: Array, deviations: Array, best: float) -> Array:
    """How much each candidate is expected to exceed the best value, averaged over the members of an ensemble."""
    margin = (means - best) / deviations
    density = np.exp(-margin * margin / 2) / math.sqrt(2 * math.pi)
    improvement: Array = (deviations * (margin * normal_below(margin) + density)).mean(0)
    return np.maximum(improvement, 0.0)


def normal_below(margin: Array) -> Array:
    """The share of the standard normal distribution below each number."""
    return (1 + np.asarray(_erf(margin / math.sqrt(2)), dtype=np.float64)) / 2


def normal_scores(values: Sequence[float]) -> Array:
    """Ranks as quantiles of the normal distribution, ties at their mean rank; mean zero.

    A monotone map of the values, inf included, changes nothing, and an outlier weighs no more than its rank.
    """
    _, places, counts = np.unique(np.array(values, dtype=float), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2) / len(values)
    scores = np.array([NormalDist().inv_cdf(rank) for rank in ranks])[places]
    centred: Array = scores - scores.mean()
    return centred
