import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from nasdrop.errors import ConfigError
from nasdrop.settings import TrainSettings
from nasdrop.train import fit
from nasdrop.train.criterion import class_weights, loss_file, make_loss

LABELS = torch.tensor([0] * 6 + [1] * 3 + [2])
LOGITS = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))

OWN = """
import torch
from torch.nn import functional

def focal(logits, labels):
    own = functional.log_softmax(logits, 1).gather(1, labels.view(-1, 1)).squeeze(1)
    return (-((1 - own.exp()) ** 2) * own).mean()

def a_row_each(logits, labels):
    return functional.cross_entropy(logits, labels, reduction="none")

def constant(logits, labels):
    return 1.0

number = 3
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "losses.py").write_text(OWN)
    return str(tmp_path / "losses.py")


def test_balanced_weights_are_scikit_learns():
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS.numpy())
    torch.testing.assert_close(
        class_weights("balanced", LABELS, 3).double(), torch.from_numpy(expected), rtol=1e-6, atol=0
    )
    assert class_weights("balanced", LABELS, 4)[3] == 1.0  # no image has it, so no loss does
    assert class_weights("none", LABELS, 3) is None


@pytest.mark.parametrize("wanted", [(0.5, 2.0, 1.0), "balanced", "none"])
@pytest.mark.parametrize("smoothing", [0, 0.1])
def test_the_loss_is_the_weighted_cross_entropy(wanted, smoothing):
    loss = make_loss(TrainSettings(class_weights=wanted, label_smoothing=smoothing), LABELS, 3)
    weight = class_weights(wanted, LABELS, 3)
    logs = functional.log_softmax(LOGITS.double(), 1)
    weight = torch.ones(3).double() if weight is None else weight.double()
    # The mean over the samples, each by the weight of its class; smoothing mixes in the mean of all classes' terms.
    own = -(weight * logs).gather(1, LABELS.view(-1, 1)).sum()
    every = -(weight * logs).sum(1).mean() * len(LABELS) / 3
    expected = ((1 - smoothing) * own + smoothing * every) / weight[LABELS].sum()
    torch.testing.assert_close(loss(LOGITS.double(), LABELS), expected, rtol=1e-6, atol=1e-9)


def test_weights_that_do_not_fit_are_refused():
    for wanted in ((1.0, 2.0), (0.0, 0.0, 0.0)):
        with pytest.raises(ConfigError, match=r"class_weights: must be 3 weights, one a class, not all 0"):
            make_loss(TrainSettings(class_weights=wanted), LABELS, 3)


def test_a_loss_of_the_users_own_is_what_is_minimised(own, digits, make_net):
    loss = make_loss(TrainSettings(loss=f"{own}:focal"), LABELS, 3)
    share = functional.softmax(LOGITS, 1).gather(1, LABELS.view(-1, 1))
    torch.testing.assert_close(loss(LOGITS, LABELS), -((1 - share) ** 2 * share.log()).mean())
    data = digits.limited(256)
    by_file, by_name, plain = (make_net() for _ in range(3))
    recipe = {"epochs": 1, "batch_size": 64}
    fit(by_file, data, TrainSettings(loss=f"{own}:focal", **recipe))
    fit(by_name, data, TrainSettings(**recipe), loss=loss)
    fit(plain, data, TrainSettings(**recipe))
    weights = [torch.cat([value.flatten() for value in net.parameters()]) for net in (by_file, by_name, plain)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_class_weights_reach_the_training(digits, make_net):
    only = tuple(float(label == 3) for label in range(10))
    network = make_net()
    fit(network, digits, TrainSettings(epochs=2, batch_size=64, class_weights=only))
    images = (digits.test.pixels - digits.mean[0]) / digits.std[0]
    assert (network(images.float()).argmax(1) == 3).all()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("a_row_each", r"must return the mean loss, one number to differentiate, got a tensor of shape \(2,\)"),
        ("constant", "must return the mean loss, one number to differentiate, got float"),
        ("focall", "has no attribute 'focall'; did you mean 'focal'"),
        ("number", "number must be callable, got int"),
    ],
)
def test_a_loss_that_cannot_be_used_is_refused_before_anything_is_trained(own, name, line):
    with pytest.raises(ConfigError, match=line):
        make_loss(TrainSettings(loss=f"{own}:{name}"), LABELS, 3)


def test_references_and_exclusions(own, tmp_path):
    for wrong in ("focal", "losses:focal", "losses.py", f"{own}:a b"):
        with pytest.raises(ConfigError, match=r"loss: must read 'file.py:name'"):
            loss_file(wrong)
    with pytest.raises(ConfigError, match="loss: no such file"):
        loss_file("missing.py:focal")
    assert loss_file("anywhere/losses.py:focal", (tmp_path,)) == tmp_path / "losses.py"
    with pytest.raises(ConfigError) as caught:
        make_loss(TrainSettings(loss=f"{own}:focal", class_weights="balanced", label_smoothing=0.1), LABELS, 3)
    assert len(caught.value.lines) == 2
    (tmp_path / "broken.py").write_text("import no_such_module")
    with pytest.raises(ConfigError, match=r"cannot be imported: ModuleNotFoundError"):
        make_loss(TrainSettings(loss=f"{tmp_path / 'broken.py'}:x"), LABELS, 3)
