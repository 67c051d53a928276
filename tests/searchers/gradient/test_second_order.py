"""Differences against exact derivatives, with drop path on: the same masks in both passes, or the noise drowns all."""

import pytest
import torch
from torch import nn

from nasdrop.drop import Draw
from nasdrop.searchers.gradient.second_order import Unrolled, directional, norm


def exact_mixed(learner, batch, draw, direction):
    """d/d alpha of (gradient in the weights . direction), by differentiating twice."""
    loss, _ = learner.loss(batch, learner.expected(), draw)
    first = torch.autograd.grad(loss, learner.weights, create_graph=True, allow_unused=True, materialize_grads=True)
    product = sum((part * along).sum() for part, along in zip(first, direction, strict=True))
    return torch.autograd.grad(product, learner.alphas)


def relative(found, expected):
    gap = norm([a - b for a, b in zip(found, expected, strict=True)])
    return float(gap / norm(expected))


@pytest.mark.parametrize("p", [0.0, 0.2, 0.6])
def test_a_difference_with_equal_masks_is_the_exact_product(p, make_learner, make_batch, masks):
    learner = make_learner(p=p)
    batch, draw = make_batch(1), masks(learner, 0)
    direction = [torch.randn_like(weight) for weight in learner.weights]
    found = directional(lambda: learner.alpha_gradient(batch, draw), learner.weights, direction, radius=1e-6)
    assert relative(found, exact_mixed(learner, batch, draw, direction)) < 1e-5


def test_with_fresh_masks_the_same_difference_is_noise(make_learner, make_batch, masks):
    learner = make_learner(p=0.4)
    batch = make_batch(1)
    direction = [torch.randn_like(weight) for weight in learner.weights]
    draws = iter([masks(learner, 1), masks(learner, 2)])
    found = directional(lambda: learner.alpha_gradient(batch, next(draws)), learner.weights, direction)
    assert relative(found, exact_mixed(learner, batch, masks(learner, 1), direction)) > 10


@pytest.mark.parametrize("settings", [{"radius": 1e-7}, {"exact": True}])
def test_the_unrolled_gradient_is_that_of_the_loss_after_the_step(settings, make_learner, make_batch, masks):
    """The whole second order against autograd through the step itself, written out."""
    learner = make_learner(p=0.3, momentum=0.9, weight_decay=3e-4, **settings)
    train, valid, draws, rate = make_batch(1), make_batch(2), (masks(learner, 0), masks(learner, 1)), 0.05
    for weight in learner.weights:
        learner.weight_optimizer.state[weight]["momentum_buffer"].normal_(0, 0.1)
    names = {id(weight): name for name, weight in learner.supernet.named_parameters()}
    loss, _ = learner.loss(train, learner.expected(), draws[0])
    step = torch.autograd.grad(loss, learner.weights, create_graph=True, allow_unused=True, materialize_grads=True)
    ahead = {}
    for weight, part in zip(learner.weights, step, strict=True):
        buffer = learner.weight_optimizer.state[weight]["momentum_buffer"]
        ahead[names[id(weight)]] = weight - rate * (part + 3e-4 * weight + 0.9 * buffer)
    mixture = learner.expected()
    logits = torch.func.functional_call(
        learner.supernet, ahead, (valid[0], mixture.weights, draws[1], mixture.active), strict=False
    )
    expected = torch.autograd.grad(nn.functional.cross_entropy(logits, valid[1]), learner.alphas)
    found = learner.unrolled_gradient(train, valid, draws, rate)
    assert relative(found[1:], expected) < 1e-5


def test_the_parameters_come_back_bit_for_bit(make_learner, make_batch):
    learner = make_learner()
    before = [weight.detach().clone() for weight in learner.weights]
    direction = [1e3 * torch.randn_like(weight) for weight in learner.weights]
    directional(lambda: learner.alpha_gradient(make_batch(1), Draw(None)), learner.weights, direction)
    with Unrolled(learner.weights, direction, rate=0.1, momentum=0.9, decay=0.1, buffers=before):
        assert not torch.equal(learner.weights[0], before[0])
    assert all(torch.equal(a, b) for a, b in zip(learner.weights, before, strict=True))


def test_a_direction_of_length_zero_has_no_derivative():
    weight = torch.ones(3, requires_grad=True)
    found = directional(lambda: [weight.detach() ** 2], [weight], [torch.zeros(3)])
    assert torch.equal(found[0], torch.zeros(3))
