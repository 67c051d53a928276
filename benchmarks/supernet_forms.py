"""What benchmarks/supernet.py measures: the plain supernet and ours, with their optimisers, as a search steps them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from plain_supernet import PlainSuperNet
from torch import Tensor, nn

from nasdrop.drop import Draw
from nasdrop.models.supernet import SuperNet
from nasdrop.searchers.gradient.captured import Recorded
from nasdrop.space.space import SearchSpace

FORMS = (
    "plain",
    "plain, drop path",
    "reference",
    "packed",
    "packed, drop path",
    "packed, checkpoint",
    "grouped",
    "grouped, drop path",
)
RATE = 0.3
SIDE = 32


@dataclass
class Searcher:
    """A supernet with its two optimisers; `ours` computes only the gradients that a step uses.

    `graph` records the whole step once and replays it, on a CUDA device; `foreach` steps all tensors in few calls, as
    torch does by itself there.
    """

    net: nn.Module
    ours: bool
    drops: bool
    bfloat16: bool = False
    graph: bool = False
    foreach: bool | None = None
    recorded: Recorded | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.alphas = list(self.net.alphas.parameters())
        known = {id(alpha) for alpha in self.alphas}
        self.weights = [weight for weight in self.net.parameters() if id(weight) not in known]
        options = {"foreach": self.foreach, "capturable": self.graph}
        self.adam = torch.optim.Adam(self.alphas, 3e-4, betas=(0.5, 0.999), weight_decay=1e-3, **options)
        fused = {"fused": True} if self.graph else {"foreach": self.foreach}
        self.sgd = torch.optim.SGD(self.weights, 0.025, momentum=0.9, weight_decay=3e-4, **fused)
        for weight in self.weights:
            self.sgd.state[weight]["momentum_buffer"] = torch.zeros_like(weight)

    def step(self, images: Tensor, labels: Tensor) -> None:
        """One search step; images are (2, N, 3, H, W): validation, then training."""
        if not self.ours:
            self._plain_step(images, labels)
            return
        inputs = (images, labels, *(self.draw(images.shape[1]).factors for _ in range(2)))
        if not self.graph:
            self._our_step(*inputs)
            return
        self.recorded = self.recorded or Recorded(self._our_step, inputs, self._state)
        self.recorded.replay(inputs)

    def draw(self, rows: int) -> Draw:
        """The masks of a pass."""
        drop = self.net.path_drop
        return drop.draw(drop.rates, rows, seed=0, epoch=0, step=0) if self.drops else Draw(None)

    def _plain_step(self, images: Tensor, labels: Tensor) -> None:
        self.adam.zero_grad()
        self._loss(images[0], labels[0]).backward()
        self.adam.step()
        self.sgd.zero_grad()
        self._loss(images[1], labels[1]).backward()
        nn.utils.clip_grad_norm_(self.weights, 5.0)
        self.sgd.step()

    def _our_step(self, images: Tensor, labels: Tensor, first: Tensor | None, second: Tensor | None) -> Tensor:
        with self.net.weights_frozen():
            loss = self._loss(images[0], labels[0], paths=Draw(first))
            self._give(self.alphas, torch.autograd.grad(loss, self.alphas))
        self.adam.step()
        mixture = {kind: weights.detach() for kind, weights in self.net.mixture().items()}
        loss = self._loss(images[1], labels[1], mixture=mixture, paths=Draw(second))
        self._give(self.weights, torch.autograd.grad(loss, self.weights))
        nn.utils.clip_grad_norm_(self.weights, 5.0)
        self.sgd.step()
        return loss.detach()

    def _loss(self, images: Tensor, labels: Tensor, **options: object) -> Tensor:
        x = images.contiguous(memory_format=torch.channels_last) if self.ours else images
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bfloat16):
            return F.cross_entropy(self.net(x, **options), labels)

    def _state(self) -> list[Tensor]:
        states = [*self.sgd.state.values(), *self.adam.state.values()]
        return [*self.net.parameters(), *self.net.buffers(), *(value for state in states for value in state.values())]

    @staticmethod
    def _give(parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor]) -> None:
        # A fused SGD reads raw memory, and `autograd.grad` may hand out views of any strides.
        for parameter, gradient in zip(parameters, gradients, strict=True):
            strides = zip(gradient.shape, gradient.stride(), parameter.stride(), strict=True)
            same = all(size == 1 or one == other for size, one, other in strides)
            parameter.grad = gradient if same else torch.empty_like(parameter).copy_(gradient)


def build(
    form: str,
    channels: int = 16,
    num_cells: int = 8,
    device: str = "cpu",
    *,
    bfloat16: bool = False,
    foreach: bool | None = None,
) -> Searcher:
    """A form of FORMS, or of these with ", graph", on a device."""
    torch.manual_seed(0)
    drops = "drop path" in form
    if form.startswith("plain"):
        net: nn.Module = PlainSuperNet(channels, num_cells)
        net.p = RATE if drops else 0.0
    else:
        layout = form.split(",")[0]
        net = SuperNet(SearchSpace.load("darts"), channels, num_cells, layout=layout, checkpoint="checkpoint" in form)
        net.path_drop.set_rates(RATE if drops else 0.0)
    ours = not form.startswith("plain")
    return Searcher(net.to(device), ours, drops, bfloat16, graph="graph" in form, foreach=foreach)


def batch_of(rows: int, device: str) -> tuple[Tensor, Tensor]:
    """Images and labels for both passes."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, rows, 3, SIDE, SIDE, generator=generator)
    return images.to(device), torch.randint(10, (2, rows), generator=generator).to(device)
