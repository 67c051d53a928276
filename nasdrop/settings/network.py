"""The network that a cell is put into, and its drop path."""

from typing import Literal

from pydantic import Field

from nasdrop.settings.base import PositiveInt, Probability, Settings


class FractalSettings(Settings):
    """How a fractal network is built, where its genotype does not say; the defaults are the published ones."""

    order: str = Field("conv-dropout-norm-relu", description="what a unit does, in order")
    bias: bool = Field(default=True, description="convolutions have a bias")
    affine: bool = Field(default=False, description="batch norms learn a scale and a shift")
    statistics: Literal["own", "shared"] = Field("own", description="batch-norm statistics of a column that runs alone")
    column_networks: bool = Field(default=False, description="train every column beside the local network, each step")
    reestimate: bool = Field(
        default=False,
        description="estimate batch-norm statistics anew, on the training images, before the last score",
    )


class NetworkSettings(Settings):
    """Size of the network that a cell is put into."""

    channels: PositiveInt = Field(16, description="channels of the first cells; doubled at each reduction")
    num_cells: PositiveInt = Field(8, description="cells from stem to head, reductions included; blocks of a fractal")
    stem: Literal["cifar", "imagenet"] = Field(
        "cifar", description="imagenet: three convolutions that halve the sides, for images of about 224 x 224"
    )
    auxiliary: bool = Field(default=False, description="auxiliary head after two thirds of the cells, in training only")
    dropout: Probability = Field(0.0, description="dropout in front of the classifier")
    dropout_kind: Literal["dropout", "alpha_dropout"] = "dropout"
    fractal: FractalSettings = FractalSettings()


class DropSettings(Settings):
    """Drop path: which paths, how often, when."""

    p: Probability = Field(0.2, description="the schedule's target: probability that a path is dropped")
    policy: str = Field("edge", description="which paths drop together: edge, ... (nasdrop drop list)")
    schedule: str = Field("linear", description="a curve over time, or a paper's preset (nasdrop drop list)")
    depth: Literal["preset", "flat", "linear", "linear-from-zero"] = Field(
        "preset", description="flat: p for all cells; linear: p (i+1)/M; linear-from-zero: p i/(M-1)"
    )
    clock: Literal["preset", "epoch", "epoch-inclusive", "epoch-ahead", "step", "step-ahead"] = Field(
        "preset", description="progress: e/E, e/(E-1), (e+1)/E; of steps t/T or (t+1)/T, clipped"
    )
    mode: Literal["row", "batch"] = Field("row", description="one decision a sample, or one for the whole batch")
    exempt_identity: bool = Field(default=True, description="identity edges never drop (DARTS)")
    survivors: Literal["none", "revive", "redraw"] = Field("none", description="keep inputs of a node: how")
    at_least: PositiveInt = Field(1, description="inputs that a node keeps under a survivor rule")
    global_share: Probability = Field(0.5, description="of policy fractal's draws, the share that run one column alone")
    global_schedule: str = Field("constant", description="that share over time: a curve or a preset")
