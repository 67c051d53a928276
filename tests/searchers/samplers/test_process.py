"""The process against the textbook's formulas, improvement against sampling, and what its hyperparameters learn."""

import math

import numpy as np
import pytest

from nasdrop.searchers.samplers.process import GaussianProcess, expected_improvement, normal_scores


def distances(x, y=None):
    return (x[:, None] - (x if y is None else y)) ** 2


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x, y, other = rng.uniform(0, 4, 12), rng.uniform(0, 4, 12), rng.uniform(0, 4, 7)
    values = np.sin(x) + 0.1 * rng.normal(size=12)
    return x, y, other, values - values.mean()


def test_expected_improvement_is_what_sampling_says(data):
    """Mean and variance by the inverse of the whole kernel matrix, then the mean of max(f - best, 0) over samples."""
    x, y, other, values = data
    process = GaussianProcess(2, np.random.default_rng(1), members=1)
    parameters = process.log_parameters[0]

    def kernel(a, b, c, d):
        return (
            np.exp(-distances(a, b) * math.exp(-parameters[0])) + np.exp(-distances(c, d) * math.exp(-parameters[1]))
        ) / 2

    inverse = np.linalg.inv(kernel(x, x, y, y) + (math.exp(parameters[2]) + 1e-6) * np.eye(12))
    across = kernel(x, other, y, other)
    mean = across.T @ inverse @ values
    variance = (1 - np.einsum("nc,nm,mc->c", across, inverse, across)) * (values @ inverse @ values) / 12
    draws = mean + np.sqrt(variance) * np.random.default_rng(2).normal(size=(200_000, 7))
    gains = np.maximum(draws - values.max(), 0)
    moments = process.posterior([distances(x), distances(y)], 0, [distances(x, other), distances(y, other)], values)
    found = expected_improvement(*moments, values.max())
    errors = gains.std(0) / math.sqrt(len(draws))
    assert np.all(np.abs(found - gains.mean(0)) <= 5 * errors + 1e-5)


def test_what_is_pending_narrows_the_variance_there_alone(data):
    x, _, _, values = data
    process = GaussianProcess(1, np.random.default_rng(1), members=2)
    candidates = np.array([20.0, -20.0])  # far from all that is known: prior mean, prior variance
    free = expected_improvement(*process.posterior([distances(x)], 0, [distances(x, candidates)], values), values.max())
    assert free[0] == pytest.approx(free[1])
    both = np.append(x, 20.0)
    moments = process.posterior([distances(both)], 1, [distances(both, candidates)], values)
    taken = expected_improvement(*moments, values.max())
    assert taken[0] < 0.5 * free[0] and taken[1] == pytest.approx(free[1])


def test_the_walk_tells_noise_from_signal():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 4, 40)
    noise = {}
    for name, values in (("smooth", np.sin(2 * x)), ("noise", rng.normal(size=40))):
        process = GaussianProcess(1, np.random.default_rng(3))
        for _ in range(60):
            process.walk([distances(x)], values - values.mean(), 6)
        noise[name] = process.log_parameters[:, -1].mean()
    assert noise["smooth"] < math.log(0.02) < noise["noise"]


def test_the_walk_is_a_function_of_its_generator(data):
    x, _, _, values = data
    ends = []
    for seed in (5, 5, 6):
        process = GaussianProcess(1, np.random.default_rng(seed))
        process.walk([distances(x)], values, 6)
        process.walk([distances(x)], values, 6)
        ends.append(process.log_parameters)
    assert np.array_equal(ends[0], ends[1]) and not np.array_equal(ends[0], ends[2])


def test_normal_scores():
    values = [3.0, 1.0, 2.0, 2.0, -math.inf]
    scores = normal_scores(values)
    assert scores.mean() == pytest.approx(0)
    assert scores[2] == scores[3] and list(np.argsort(scores)[[0, 1, 4]]) == [4, 1, 0]
    assert np.allclose(scores, normal_scores([math.exp(value) for value in values]))
    assert np.allclose(normal_scores([1.0, 2.0, 3.0, 4.0]), [-1.1503, -0.3186, 0.3186, 1.1503], atol=1e-4)
    assert not normal_scores([0.5] * 4).any()
