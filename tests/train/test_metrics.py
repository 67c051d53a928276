"""Every metric against scikit-learn's own."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from nasdrop.errors import ConfigError
from nasdrop.train.metrics import hits_at, measure
from nasdrop.train.score import Score, evaluate

CASES = st.tuples(st.integers(2, 12), st.integers(1, 60), st.integers(0, 2**32 - 1), st.booleans())


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
@settings(max_examples=120, deadline=None)
@given(CASES)
def test_all_agree_with_scikit_learn_also_where_classes_are_missing_and_logits_tie(case):
    classes, count, seed, ties = case
    dice = np.random.default_rng(seed)
    labels = dice.integers(0, max(1, classes - seed % 3), count)
    logits = dice.integers(0, 3, (count, classes)) * 1.0 if ties else dice.normal(size=(count, classes))
    answers = logits.argmax(1)
    given = torch.from_numpy(logits), torch.from_numpy(labels)
    found = measure(given[0].argmax(1), given[1], hits_at(*given), classes)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(labels, answers), abs=1e-12)
    assert found["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(labels, answers), abs=1e-12)
    expected = reference.f1_score(labels, answers, average="macro", zero_division=0)
    assert found["macro_f1"] == pytest.approx(expected, abs=1e-12)
    assert ("top5" in found) == (classes > 5)
    if classes > 5:
        expected = reference.top_k_accuracy_score(labels, logits, k=5, labels=range(classes))
        assert found["top5"] == pytest.approx(expected, abs=1e-12)


def test_an_evaluation_tells_all_of_them(digits, make_net):
    network = make_net()
    score = evaluate(network, digits.test, digits)
    with torch.no_grad():
        images = (digits.test.pixels - digits.mean[0]) / digits.std[0]
        logits = network.eval()(images.float()).double().numpy()
    labels, answers = digits.test.labels.numpy(), logits.argmax(1)
    assert score.metrics == pytest.approx(
        {
            "accuracy": score.accuracy,
            "balanced_accuracy": reference.balanced_accuracy_score(labels, answers),
            "macro_f1": reference.f1_score(labels, answers, average="macro", zero_division=0),
            "top5": reference.top_k_accuracy_score(labels, logits, k=5),
        }
    )
    assert [score.value(name) for name in score.metrics] == list(score.metrics.values())


def test_a_metric_that_means_nothing_here_is_refused():
    with pytest.raises(ConfigError, match=r"train.metric: top5 needs more than five classes"):
        Score(0.5, 1.0, 1, 2, {"accuracy": 0.5, "macro_f1": 0.4}).value("top5")
