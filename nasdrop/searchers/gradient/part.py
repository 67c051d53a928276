"""A stage's supernet with all that its training carries along: strategy, optimisers, masks, and the columns in use."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nasdrop.drop import Draw, Dropout, DropScheduler, preset
from nasdrop.errors import ConfigError
from nasdrop.models.supernet import SuperNet
from nasdrop.searchers.gradient import diagnostics
from nasdrop.searchers.gradient.captured import CapturedLearner
from nasdrop.searchers.gradient.hessian import dominant_eigenvalue, hessian_product, kept_buffers
from nasdrop.searchers.gradient.learner import Learner
from nasdrop.searchers.gradient.mixture import Columns, Mixture
from nasdrop.searchers.gradient.stages import Stage
from nasdrop.searchers.gradient.strategies import make_strategy
from nasdrop.searchers.training import Training
from nasdrop.settings import GradientSettings, PDartsSettings, SupernetSettings
from nasdrop.space import Genotype
from nasdrop.train import Dataset, Score, evaluate
from nasdrop.train.batches import arrange, memory_format
from nasdrop.train.device import derive_seed, isolated_rng
from nasdrop.train.draws import StepDraws
from nasdrop.train.ranks import Ranks


class Part:
    """One stage.

    Args:
        training: the experiment, its space and its data.
        settings: of the search.
        stage: size of the supernet.
        number: of the stage, from 0.
        stages: how many there are.
        steps: of an epoch.
        ranks: the processes that share the search.
    """

    def __init__(
        self,
        training: Training,
        settings: GradientSettings,
        stage: Stage,
        number: int,
        stages: int,
        steps: int,
        ranks: Ranks,
    ) -> None:
        seed = training.experiment.seed
        with torch.random.fork_rng():
            torch.manual_seed(derive_seed(seed, "supernet", number))
            self.supernet = build_supernet(training, settings, stage.num_cells)
            self.strategy = make_strategy(settings, Columns.of(self.supernet), training.space)
        arrange(self.supernet, memory_format(len(training.data.shape) + 1, channels_last=settings.channels_last))
        self.device = training.device
        learner = CapturedLearner if settings.cuda_graph else Learner
        self.learner = learner(self.supernet, self.strategy, settings, ranks, training.loss(settings))
        self.draws = StepDraws(
            self.supernet,
            training.schedule(),
            seed,
            settings.epochs * stages,
            steps,
            rank=ranks.rank,
            world_size=ranks.world_size,
        )
        self._skips: DropScheduler | None = None
        if isinstance(settings, PDartsSettings):
            schedule = preset("p-darts", settings.stage_skip_drop[number])
            self._skips = DropScheduler(
                self.supernet, schedule, epochs=settings.epochs, select=lambda _, module: isinstance(module, Dropout)
            )
        self.first_shares = self.shares()

    def paths(self, rows: int, epoch: int, step: int, purpose: str) -> Draw:
        """The masks of a pass over so many samples of this process."""
        return self.draws.paths(rows, epoch, step, purpose).get("paths", Draw(None))

    def enter_epoch(self, local: int) -> None:
        """Set what follows the epochs of the stage, counted from 0."""
        if self._skips is not None:
            self._skips.step(local)

    def skip_elements(self) -> float | None:
        """Probability that an element of a skip connection drops now, where the strategy drops any."""
        return max(self._skips.planned().values(), default=None) if self._skips is not None else None

    def narrow(self, columns: Columns) -> None:
        """From now on mix and compute only these columns."""
        self.strategy.columns = columns
        self.learner.active = columns.active()
        self.first_shares = self.shares()

    def strengths(self) -> dict[str, Tensor]:
        """What is compared when the cell is read off."""
        with torch.no_grad():
            return self.strategy.strengths(self.learner.by_kind)

    def shares(self) -> dict[str, Tensor]:
        """The strengths as shares of each edge."""
        return diagnostics.shares(self.strengths(), self.strategy.columns)

    def genotype(self) -> Genotype:
        """The cell that the alphas stand for now."""
        with torch.no_grad():
            return self.strategy.read_cell(self.learner.by_kind, self.supernet.discretize)

    def score(self, data: Dataset) -> Score | None:
        """The supernet's score on the validation split, where it has one mixture to be scored with."""
        if not self.strategy.has_alphas:
            return None
        return evaluate(Mixed(self.supernet, self.learner.expected().detached()), data.valid, data)

    def eigenvalue(self, batch: tuple[Tensor, Tensor], generator: torch.Generator) -> float:
        """Dominant eigenvalue of the Hessian of the alphas' loss on a batch, nothing dropped; leaves no trace."""
        learner = self.learner
        self.supernet.train()
        with kept_buffers(self.supernet), self.supernet.weights_frozen(), isolated_rng(self.device):
            loss, _ = learner.loss(batch, learner.expected(), Draw(None))
            return dominant_eigenvalue(hessian_product(loss, learner.alphas), learner.alphas, generator=generator)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of the stage."""
        return {
            "available": dict(self.strategy.columns.available),
            "first_shares": self.first_shares,
            "drop": self.draws.state(),
            **self.learner.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take that back."""
        columns = self.strategy.columns
        if any(not torch.equal(flags, columns.available[kind]) for kind, flags in state["available"].items()):
            self.narrow(Columns(columns.operations, state["available"], columns.ends))
        self.learner.load_state(state)
        self.draws.load_state(state["drop"])
        self.first_shares = state["first_shares"]


def build_supernet(training: Training, settings: SupernetSettings, num_cells: int) -> SuperNet:
    """The supernet of an experiment, on the device.

    Args:
        training: space, drop options and shape of the data.
        settings: its channels.
        num_cells: from stem to head.

    Raises:
        ConfigError: the space has no cells to mix.
    """
    if training.space.skeleton == "fractal":
        raise ConfigError(f"search.kind: a supernet wants a space of cells, got space {training.space.name!r}")
    drop, data = training.experiment.drop, training.data
    return SuperNet(
        training.space,
        channels=settings.channels,
        num_cells=num_cells,
        num_classes=data.num_classes,
        in_channels=data.shape[0],
        ndim=len(data.shape) - 1,
        layout=settings.layout,
        partial_channels=getattr(settings, "partial_channels", 1),
        skip_dropout=isinstance(settings, PDartsSettings),
        checkpoint=settings.checkpoint_cells,
        stem=training.experiment.network.stem,
        drop={"policy": drop.policy, "mode": drop.mode, "survivors": drop.survivors, "at_least": drop.at_least},
    ).to(training.device)


class Mixed(nn.Module):
    """A supernet with one mixture, as a network of one argument.

    Args:
        supernet: whose weights are shared.
        mixture: what it mixes.
    """

    def __init__(self, supernet: SuperNet, mixture: Mixture) -> None:
        super().__init__()
        self.supernet, self.mixture = supernet, mixture

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes) of images (N, C, *S)."""
        mixture = self.mixture
        logits: Tensor = self.supernet(images, mixture.weights, Draw(None), mixture.active, edge_weights=mixture.edges)
        return logits
