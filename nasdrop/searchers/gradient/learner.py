"""One step of the weights and one of the alphas, each with only the gradients that it uses.

Alphas and weights have optimisers of their own; neither ever sees the other's parameters. Nothing here waits for the
device, but where a strategy has to choose on the host what runs.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from nasdrop.drop import Draw
from nasdrop.models.supernet import SuperNet
from nasdrop.searchers.gradient.mixture import Active, Alphas, Mixture, Moment
from nasdrop.searchers.gradient.second_order import RADIUS, Unrolled, directional, norm
from nasdrop.searchers.gradient.strategy import Strategy
from nasdrop.settings import DartsSettings, GradientSettings
from nasdrop.train.criterion import Loss
from nasdrop.train.device import isolated_rng
from nasdrop.train.ranks import ALONE, Ranks
from nasdrop.train.score import autocasting

Batch = tuple[Tensor, Tensor]
Step = Callable[..., Tensor]


class Learner:
    """A supernet with its strategy and its two optimisers.

    Args:
        supernet: on its device.
        strategy: of this supernet's candidates.
        settings: of the search.
        ranks: the processes that share it.
        loss: what weights and alphas minimise; by default cross-entropy.
    """

    def __init__(
        self,
        supernet: SuperNet,
        strategy: Strategy[Any],
        settings: GradientSettings,
        ranks: Ranks = ALONE,
        loss: Loss | None = None,
    ) -> None:
        # The search's passes go through `network`; what scores or looks at a supernet uses the supernet itself.
        backend = settings.compile
        self.network = supernet if backend == "none" else torch.compile(supernet, backend=backend, dynamic=False)
        self.criterion = loss or partial(functional.cross_entropy, label_smoothing=settings.label_smoothing)
        self.supernet, self.strategy, self.settings, self.ranks = supernet, strategy, settings, ranks
        self.active: Active | None = None
        self.weights = supernet.weight_parameters()
        self.alphas = [*supernet.alpha_parameters(), *strategy.extra.values()]
        self.weight_optimizer = torch.optim.SGD(
            self.weights,
            lr=settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        for weight in self.weights:  # a fused SGD wants a buffer for all or none, and sampled paths touch some weights
            self.weight_optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        # The decay of the alphas is added to their gradient below: candidates that took no part do not decay.
        self.alpha_optimizer = torch.optim.Adam(
            self.alphas, lr=settings.alpha_learning_rate, betas=(settings.alpha_momentum, 0.999), weight_decay=0.0
        )

    @property
    def device(self) -> torch.device:
        """Where the supernet is."""
        return self.weights[0].device

    @property
    def by_kind(self) -> Alphas:
        """The alphas by cell kind."""
        return dict(self.supernet.alphas.items())

    def loss(self, batch: Batch, mixture: Mixture, paths: Draw) -> tuple[Tensor, Tensor]:
        """Mean loss of this rank's rows, and the logits."""
        images, labels = batch
        with autocasting(self.device, self.settings.autocast):
            logits = self.network(images, mixture.weights, paths, mixture.active, edge_weights=mixture.edges)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return self.criterion(logits, labels), logits

    def step_weights(self, batch: Batch, mixture: Mixture, paths: Draw, rate: float) -> Tensor:
        """One step of the weights; loss, share of correct answers and gradient norm, on the device."""
        self.set_rate(rate)
        return self.run(self._step_weights, batch, mixture, paths)

    def step_alphas(self, batch: Batch, mixture: Mixture, paths: Draw) -> Tensor:
        """One first-order step of the alphas; loss and gradient norm, on the device."""
        return self.run(self._step_alphas, batch, mixture, paths)

    def step_both(self, batch: Batch, mixture: Mixture, paths: Draw, rate: float, *, learns: bool) -> Tensor:
        """One level: one pass for both; loss, correct share and the norms of weights and alphas.

        Args:
            batch: images and labels of this rank.
            mixture: attached to the alphas.
            paths: the masks.
            rate: learning rate of the weights.
            learns: whether the alphas take part.
        """
        self.set_rate(rate)
        return self.run(self._step_both, batch, mixture, paths, learns)

    def run(
        self, step: Callable[..., Tensor], batch: Batch, mixture: Mixture, paths: Draw, *options: Hashable
    ) -> Tensor:
        """Take one of the steps below."""
        return step(batch, mixture, paths, *options)

    def set_rate(self, rate: float) -> None:
        """The learning rate of the weights' next steps."""
        for group in self.weight_optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _step_weights(self, batch: Batch, mixture: Mixture, paths: Draw) -> Tensor:
        loss, logits = self.loss(batch, mixture.detached(), paths)
        gradient = torch.autograd.grad(loss, self.weights, allow_unused=True)
        length = self._apply_weights(gradient)
        return torch.stack([loss.detach(), _accuracy(logits, batch[1]), length]).double()

    def _step_alphas(self, batch: Batch, mixture: Mixture, paths: Draw) -> Tensor:
        with self.supernet.weights_frozen():
            loss = self._alphas_loss(batch, mixture, paths)
        gradient = gradient_of(loss, self.alphas)
        return torch.stack([loss.detach(), self._apply_alphas(gradient, self.kept(paths))]).double()

    def _step_both(self, batch: Batch, mixture: Mixture, paths: Draw, learns: bool) -> Tensor:  # noqa: FBT001 - see run
        loss, logits = self.loss(batch, mixture, paths)
        penalty = self.strategy.penalty(self.by_kind)
        total = loss if penalty is None else loss + penalty
        count = len(self.weights)
        gradient = torch.autograd.grad(total, [*self.weights, *self.alphas], allow_unused=True)
        alphas = [
            torch.zeros_like(alpha) if part is None else part
            for alpha, part in zip(self.alphas, gradient[count:], strict=True)
        ]
        length = self._apply_weights(gradient[:count])
        moved = self._apply_alphas(alphas, self.kept(paths)) if learns else torch.zeros_like(length)
        return torch.stack([loss.detach(), _accuracy(logits, batch[1]), length, moved]).double()

    def step_unrolled(self, train: Batch, valid: Batch, draws: Sequence[Draw], rate: float) -> Tensor:
        """One second-order step of the alphas: the gradient of the loss that the weights' next step would leave.

        Args:
            train: the batch that the weights will be trained on.
            valid: the batch of the alphas.
            draws: masks for train and valid; those for train serve all three passes over it.
            rate: of the weights' step.
        """
        gradient = self.unrolled_gradient(train, valid, draws, rate)
        return torch.stack([gradient[0], self._apply_alphas(gradient[1:], self.kept(draws[1]))]).double()

    def unrolled_gradient(self, train: Batch, valid: Batch, draws: Sequence[Draw], rate: float) -> list[Tensor]:
        """The loss after the unrolled step, then its gradient in each of the alphas."""
        with isolated_rng(self.device):  # a noisy layer repeats itself in the passes of `alpha_gradient`
            inner, _ = self.loss(train, self.expected().detached(), draws[0])
        step = torch.autograd.grad(inner, self.weights, allow_unused=True, materialize_grads=True)
        self.ranks.average(step)
        buffers = [self.weight_optimizer.state[weight]["momentum_buffer"] for weight in self.weights]
        settings = self.settings
        ahead = Unrolled(
            self.weights,
            step,
            rate=rate,
            momentum=settings.momentum,
            decay=settings.weight_decay,
            buffers=buffers,
        )
        with ahead:
            loss = self._alphas_loss(valid, self.expected(), draws[1])
            both = torch.autograd.grad(loss, [*self.alphas, *self.weights], allow_unused=True, materialize_grads=True)
        self.ranks.average(both)
        direct, direction = both[: len(self.alphas)], both[len(self.alphas) :]
        mixed = self.mixed_product(train, draws[0], direction)
        return [loss.detach(), *(a - rate * b for a, b in zip(direct, mixed, strict=True))]

    def mixed_product(self, batch: Batch, paths: Draw, direction: Sequence[Tensor]) -> Sequence[Tensor]:
        """How the gradient in the alphas changes as the weights move along a direction, averaged over the ranks."""
        settings = self.settings
        if not isinstance(settings, DartsSettings) or not settings.exact:
            radius = getattr(settings, "radius", RADIUS)
            return directional(lambda: self.alpha_gradient(batch, paths), self.weights, direction, radius)
        with isolated_rng(self.device):
            loss, _ = self.loss(batch, self.expected(), paths)
        first = torch.autograd.grad(loss, self.weights, create_graph=True, allow_unused=True, materialize_grads=True)
        product = torch.autograd.grad(first, self.alphas, direction, allow_unused=True, materialize_grads=True)
        self.ranks.average(product)
        return product

    def alpha_gradient(self, batch: Batch, paths: Draw) -> Sequence[Tensor]:
        """Gradient of the plain loss in the alphas, at the present weights and alphas; averaged over the ranks."""
        with torch.enable_grad(), self.supernet.weights_frozen(), isolated_rng(self.device):
            loss, _ = self.loss(batch, self.expected(), paths)
        gradient = gradient_of(loss, self.alphas)
        self.ranks.average(gradient)
        return gradient

    def expected(self) -> Mixture:
        """The mixture that is differentiated twice, and scored."""
        return self._within(self.strategy.expected(self.by_kind))

    def mix(self, moment: Moment) -> Mixture:
        """The mixture of a step."""
        return self._within(self.strategy.mix(self.by_kind, moment))

    def _within(self, mixture: Mixture) -> Mixture:
        """Compute nothing of what has been shrunk away."""
        return mixture if mixture.active is not None else mixture._replace(active=self.active)

    def kept(self, paths: Draw) -> Alphas:
        """The candidates that take part under these masks: bool (E, O) a cell kind."""
        available = self.strategy.columns.available
        if paths.choices is None:
            return available
        counted = self.supernet.mixer.keep({kind: flags.float() for kind, flags in available.items()}, paths.choices)
        return {kind: rows > 0 for kind, rows in counted.items()}

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {
            "supernet": self.supernet.state_dict(),
            "strategy": self.strategy.state(),
            "weight_optimizer": self.weight_optimizer.state_dict(),
            "alpha_optimizer": self.alpha_optimizer.state_dict(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take that back."""
        self.supernet.load_state_dict(state["supernet"])
        self.strategy.load_state(state["strategy"])
        self.weight_optimizer.load_state_dict(state["weight_optimizer"])
        self.alpha_optimizer.load_state_dict(state["alpha_optimizer"])

    def _alphas_loss(self, batch: Batch, mixture: Mixture, paths: Draw) -> Tensor:
        loss, _ = self.loss(batch, mixture, paths)
        penalty = self.strategy.penalty(self.by_kind)
        return loss if penalty is None else loss + penalty

    def _apply_weights(self, gradient: Sequence[Tensor | None]) -> Tensor:
        """Clip and step; weights that took no part have no gradient, and stay. Returns the norm before clipping."""
        # A fused SGD reads raw memory, and `autograd.grad`, unlike `backward`, may hand out views of any strides.
        gradient = [
            part if part is None or _lie_alike(part, weight) else torch.empty_like(weight).copy_(part)
            for weight, part in zip(self.weights, gradient, strict=True)
        ]
        self.ranks.average(gradient)
        for weight, part in zip(self.weights, gradient, strict=True):
            weight.grad = part
        length = clip_grad_norm_(self.weights, self.settings.gradient_clip or float("inf"), foreach=True)
        self.weight_optimizer.step()
        self.weight_optimizer.zero_grad()
        return length

    def _apply_alphas(self, gradient: Sequence[Tensor], kept: Alphas) -> Tensor:
        """Decay, step, and the strategy's correction. Returns the norm of the gradient, without the decay."""
        self.ranks.average(gradient)
        length = norm(gradient)
        alphas = self.by_kind
        before = {kind: alpha.detach().clone() for kind, alpha in alphas.items()}
        parts = {id(alphas[kind]): flags for kind, flags in kept.items()}
        for alpha, part in zip(self.alphas, gradient, strict=True):
            decayed = alpha.detach() * parts[id(alpha)] if id(alpha) in parts else alpha.detach()
            alpha.grad = part + self.settings.alpha_weight_decay * decayed
        self.alpha_optimizer.step()
        self.alpha_optimizer.zero_grad()
        self.strategy.after_step(alphas, before, kept)
        return length


def gradient_of(loss: Tensor, parameters: Sequence[Tensor]) -> Sequence[Tensor]:
    """Gradients, 0 where the loss does not depend on a parameter: a drawn cell may let nothing through."""
    if not loss.requires_grad:
        return [torch.zeros_like(parameter) for parameter in parameters]
    return torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)


def _accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.detach().argmax(1) == labels).float().mean()


def _lie_alike(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of one shape have their elements in the same order; an axis of one element has none."""
    strides = zip(one.shape, one.stride(), other.stride(), strict=True)
    return all(size == 1 or first == second for size, first, second in strides)
