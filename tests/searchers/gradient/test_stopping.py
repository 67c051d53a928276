"""When a search stops early, and whose cell it keeps."""

import pytest

from nasdrop.searchers.gradient.stopping import stop


@pytest.fixture
def history(make_report):
    def make(eigenvalues, skips=None):
        pairs = zip(eigenvalues, skips or [0] * len(eigenvalues), strict=True)
        return [make_report(epoch, eigenvalue=value, skips=count) for epoch, (value, count) in enumerate(pairs)]

    return make


@pytest.fixture
def settings(make_experiment):
    return lambda **search: make_experiment(epochs=50, hessian_epochs=1, **search).search


def test_the_skip_rule_keeps_the_cell_before(history, settings):
    rule = settings(stop_skips=2)
    assert stop(history([None] * 3, [0, 1, 1]), rule) is None
    assert stop(history([None] * 3, [0, 1, 2]), rule)[0] == 1
    assert stop(history([None], [5]), rule)[0] == 0
    assert stop(history([None] * 3, [8, 8, 8]), settings()) is None


def test_the_eigenvalue_rule_compares_windows(history, settings):
    """Means of 3 epochs: 0.1 against 0.2 grow by 2; the cell kept is that of the last epoch of the first window."""
    rule = settings(stop_ratio=1.3, stop_window=3, stop_after=0)
    grown = [0.1, 0.1, 0.1, 0.2, 0.2, 0.2]
    epoch, reason = stop(history(grown), rule)
    assert epoch == 2 and "from 0.1 to 0.2" in reason
    assert stop(history([0.1, 0.1, 0.1, 0.12, 0.13, 0.12]), rule) is None
    assert stop(history(grown), settings(stop_ratio=1.3, stop_window=3, stop_after=6)) is None
    assert stop(history(grown), settings(stop_window=3, stop_after=0)) is None


@pytest.mark.parametrize("gap", [2, 3])
def test_eigenvalues_at_an_interval_are_enough(gap, history, settings):
    values = [0.1 if epoch < 5 else 0.5 for epoch in range(10)]
    sparse = [value if epoch % gap == 0 else None for epoch, value in enumerate(values)]
    rule = settings(stop_ratio=1.3, stop_window=5, stop_after=0)
    assert stop(history(sparse), rule)[0] == 4
    assert stop(history([None] * 10), rule) is None


def test_the_size_counts_not_the_sign(history, settings):
    rule = settings(stop_ratio=1.3, stop_window=2, stop_after=0)
    assert stop(history([0.1, 0.1, -0.5, -0.5]), rule)[0] == 1
