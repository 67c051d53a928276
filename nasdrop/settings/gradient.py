"""A search by gradient: what all strategies share, and each one's own."""

from typing import Literal

from pydantic import Field

from nasdrop.settings.base import PositiveInt, Probability, Rows
from nasdrop.settings.training import ScoringSettings, SupernetSettings


class GradientSettings(SupernetSettings):
    """A search by gradient over one supernet: what all strategies share; the defaults are DARTS's."""

    kind: Literal["gradient"]
    strategy: str
    compile: Literal["none", "inductor", "aot_eager"] = Field(
        "none", description="backend of torch.compile for the search's passes; aot_eager traces and changes nothing"
    )
    cuda_graph: bool = Field(default=False, description="record each step once and replay it; needs a CUDA device")
    alpha_fraction: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="share of the training images that trains the alphas, the rest trains the weights; 0: the "
        "validation split trains the alphas, and nothing is held out",
    )
    alpha_learning_rate: float = Field(3e-4, gt=0, description="Adam's")
    alpha_momentum: float = Field(0.5, ge=0, lt=1, description="Adam's first beta; the second is 0.999")
    alpha_weight_decay: float = Field(1e-3, ge=0)
    alpha_start: int = Field(0, ge=0, description="epochs in which only the weights are trained, at first")
    validation_epochs: int = Field(
        0, ge=0, description="train the found cell so long on the training split and score it on validation; 0: do not"
    )
    hessian_epochs: int = Field(
        0, ge=0, description="epochs between dominant eigenvalues of the alpha Hessian; 0: none"
    )
    stop_ratio: float = Field(0.0, ge=0, description="stop when that eigenvalue has grown by this ratio; 0: do not")
    stop_window: PositiveInt = Field(5, description="epochs that it is averaged over, and in which it has to grow")
    stop_after: int = Field(10, ge=0, description="epochs before that rule may stop the search")
    stop_skips: int = Field(0, ge=0, description="stop when a cell has so many skip connections; 0: do not")
    shrink: Rows[Rows[PositiveInt]] = Field(
        (), description="pairs [epoch, n]: from this epoch on an edge keeps its n strongest operations"
    )


class DartsSettings(GradientSettings):
    """DARTS, arXiv:1806.09055."""

    strategy: Literal["darts"] = "darts"
    order: Literal[1, 2] = Field(1, description="2: through one unrolled step of the weights (finite differences)")
    radius: float = Field(0.01, gt=0, description="of these differences, in the norm of all weights")
    exact: bool = Field(default=False, description="differentiate twice instead: no noise of kinks, more memory")


class GdasSettings(GradientSettings):
    """GDAS, arXiv:1910.04465."""

    strategy: Literal["gdas"]
    first_temperature: float = Field(10.0, gt=0, description="of the Gumbel softmax, in the first epoch")
    final_temperature: float = Field(0.1, gt=0, description="in the last epoch; linear in between")


class PcDartsSettings(GradientSettings):
    """PC-DARTS, arXiv:1907.05737."""

    strategy: Literal["pc_darts"]
    batch_size: PositiveInt = 256
    learning_rate: float = Field(0.1, gt=0)
    final_learning_rate: float = Field(0.0, ge=0)
    alpha_learning_rate: float = Field(6e-4, gt=0)
    alpha_start: int = Field(15, ge=0)
    partial_channels: PositiveInt = Field(4, description="1/k of a node's channels go through the operations")


class DrnasSettings(GradientSettings):
    """DrNAS, arXiv:2006.10355; its distance to the flat Dirichlet is the weight decay of the alphas."""

    strategy: Literal["drnas"]
    epochs: PositiveInt = 100
    partial_channels: PositiveInt = Field(1, description="1/k of a node's channels go through the operations")


class PDartsSettings(GradientSettings):
    """P-DARTS, arXiv:1904.12760: stages of `epochs` epochs each, each with a fresh and deeper supernet."""

    strategy: Literal["p_darts"]
    epochs: PositiveInt = Field(25, description="of one stage")
    batch_size: PositiveInt = 96
    final_learning_rate: float = Field(0.0, ge=0)
    alpha_learning_rate: float = Field(6e-4, gt=0)
    alpha_start: int = Field(10, ge=0, description="epochs of each stage in which only the weights are trained")
    stage_cells: Rows[PositiveInt] = (5, 11, 17)
    stage_operations: Rows[PositiveInt] = (8, 5, 3)
    stage_skip_drop: Rows[Probability] = Field(
        (0.1, 0.4, 0.7), description="probability that an element of a skip connection drops, at a stage's start"
    )
    most_skips: int = Field(2, ge=0, description="skip connections that the normal cell may keep")


class DropNasSettings(GradientSettings):
    """DropNAS, arXiv:2201.11679: one level; wants drop.policy = "groups", drop.mode = "batch", drop.p = 3e-5."""

    strategy: Literal["drop_nas"]
    epochs: PositiveInt = 76
    batch_size: PositiveInt = 96
    num_cells: PositiveInt = 14
    learning_rate: float = Field(0.0375, gt=0)
    final_learning_rate: float = Field(0.0015, ge=0)
    gradient_clip: float = Field(3.0, ge=0)


class FairDartsSettings(GradientSettings):
    """Fair DARTS, arXiv:1911.12126."""

    strategy: Literal["fair_darts"]
    batch_size: PositiveInt = 128
    learning_rate: float = Field(0.005, gt=0)
    alpha_learning_rate: float = Field(3e-3, gt=0)
    alpha_momentum: float = Field(0.9, ge=0, lt=1)
    zero_one_weight: float = Field(10.0, ge=0, description="weight of the loss that drives the sigmoids to 0 or 1")


class OneShotSettings(GradientSettings, ScoringSettings):
    """Uniformly sampled paths, then the best of many cells with inherited weights (SPOS, arXiv:1904.00420)."""

    strategy: Literal["one_shot"]
    alpha_fraction: float = Field(0.0, ge=0, le=0, description="there are no alphas: all images train the weights")
    cells: PositiveInt = Field(100, description="random cells that are scored with inherited weights")
    generations: int = Field(0, ge=0, description="rounds in which the best cells are mutated and scored again")
    population: PositiveInt = Field(10, description="best cells that are mutated in each round")
