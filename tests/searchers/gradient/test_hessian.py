"""The power iteration against eigenvalues that are known, and the buffers that a diagnosis must not touch."""

import pytest
import torch
from torch import nn

from nasdrop.searchers.gradient.hessian import dominant_eigenvalue, hessian_product, kept_buffers
from nasdrop.searchers.gradient.loop import Loop
from nasdrop.searchers.result import Silent


@pytest.mark.parametrize("values", [[3.0, 1.0, -0.5], [-4.0, 2.0, 1.0], [0.0, 0.0, 0.0]])
def test_the_dominant_eigenvalue_of_a_quadratic_has_its_sign(values):
    torch.manual_seed(1)
    basis, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    matrix = basis @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ basis.T
    point = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    product = hessian_product(0.5 * point @ matrix @ point, [point])
    found = dominant_eigenvalue(product, [point], generator=torch.Generator().manual_seed(0), iterations=100)
    assert found == pytest.approx(values[0], abs=0.01)


def test_a_supernets_eigenvalue_is_that_of_its_whole_hessian(make_learner, make_batch, masks):
    learner = make_learner(space="tiny", p=0.3)
    batch, draw = make_batch(1, 8), masks(learner, 0, 8)

    def loss(*alphas):
        mixture = {kind: alpha.softmax(-1) for kind, alpha in zip(learner.by_kind, alphas, strict=True)}
        return nn.functional.cross_entropy(learner.supernet(batch[0], mixture, draw), batch[1])

    blocks = torch.autograd.functional.hessian(loss, tuple(alpha.detach() for alpha in learner.alphas))
    size = [alpha.numel() for alpha in learner.alphas]
    matrix = torch.cat(
        [torch.cat([b.reshape(size[i], size[j]) for j, b in enumerate(row)], 1) for i, row in enumerate(blocks)]
    )
    values = torch.linalg.eigvalsh(matrix)
    expected = float(values[values.abs().argmax()])
    loss, _ = learner.loss(batch, learner.expected(), draw)
    product = hessian_product(loss, learner.alphas)
    found = dominant_eigenvalue(product, learner.alphas, generator=torch.Generator().manual_seed(0), iterations=200)
    assert found == pytest.approx(expected, rel=0.02)


def test_a_diagnosis_leaves_the_search_as_it_was(tmp_path, make_experiment, make_training):
    """With and without eigenvalues: the same losses, alphas and statistics, bit for bit."""
    ends = []
    for every in (0, 1):
        experiment = make_experiment(hessian_epochs=every)
        training = make_training(tmp_path / str(every), experiment)
        loop = Loop(training, experiment.search, checkpoint=tmp_path / str(every) / "search.pt", observer=Silent())
        loop.run()
        ends.append((loop.part.supernet.state_dict(), [report.weights_loss for report in loop.history]))
        assert all((report.eigenvalue is not None) == bool(every) for report in loop.history)
    assert ends[0][1] == ends[1][1]
    assert all(torch.equal(ends[0][0][name], value) for name, value in ends[1][0].items())


def test_buffers_come_back():
    norm = nn.BatchNorm1d(2)
    with kept_buffers(norm):
        norm(torch.randn(8, 2))
    assert torch.equal(norm.running_mean, torch.zeros(2)) and int(norm.num_batches_tracked) == 0
