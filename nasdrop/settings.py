"""What a user writes in an experiment file, with defaults, ranges and units.

Pydantic models, strict: a quoted number or `true` is not a probability, an unknown key is an error. Names of components
(spaces, data sets, schedules) are plain strings here; the room that owns a component knows its names.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
PositiveInt = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    """Base of all settings: strict, frozen, finite, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class DataSettings(Settings):
    """Which images, and how they are split."""

    name: str = Field("digits", description="digits, fashion_mnist, cifar10, cifar10_jpeg, cifar100 or npz")
    root: str = Field("", description="folder of the files; empty: the environment's NASDROP_DATA, else ./data")
    file: str = Field("", description="for name = 'npz': the file, relative to root")
    valid_fraction: Fraction = Field(
        0.25, description="share of the training images held out for the search to score on"
    )
    train_limit: int = Field(0, ge=0, description="use only this many training images in the search; 0: all")


class FractalSettings(Settings):
    """How a fractal network is built, where its genotype does not say; the defaults are the published ones."""

    order: str = Field("conv-dropout-norm-relu", description="what a unit does, in order")
    bias: bool = Field(default=True, description="convolutions have a bias")
    affine: bool = Field(default=False, description="batch norms learn a scale and a shift")
    statistics: Literal["own", "shared"] = Field("own", description="batch-norm statistics of a column that runs alone")
    column_networks: bool = Field(default=False, description="train every column beside the local network, each step")


class NetworkSettings(Settings):
    """Size of the network that a cell is put into."""

    channels: PositiveInt = Field(16, description="channels of the first cells; doubled at each reduction")
    num_cells: PositiveInt = Field(8, description="cells from stem to head, reductions included; blocks of a fractal")
    auxiliary: bool = Field(default=False, description="auxiliary head after two thirds of the cells, in training only")
    dropout: Probability = Field(0.0, description="dropout in front of the classifier")
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


class TrainSettings(Settings):
    """One training run: SGD with a falling rate."""

    epochs: PositiveInt = 20
    batch_size: PositiveInt = 128
    learning_rate: float = Field(0.1, gt=0, description="at the start of the cosine")
    final_learning_rate: float = Field(0.0, ge=0, description="at the end of the cosine")
    decay: Literal["cosine", "halving"] = Field(
        "cosine", description="halving: a tenth whenever half of the remaining epochs are over, four times (FractalNet)"
    )
    warmup_epochs: int = Field(0, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(3e-4, ge=0)
    gradient_clip: float = Field(5.0, ge=0, description="largest gradient norm; 0: no clipping")
    label_smoothing: Fraction | Literal[0] = Field(0)
    auxiliary_weight: float = Field(0.4, ge=0, description="weight of the auxiliary head's loss")
    crop_padding: int = Field(0, ge=0, description="random crop after padding by this many pixels")
    flip: bool = Field(default=False, description="random left-right flip")
    cutout: int = Field(0, ge=0, description="side of the square set to zero, in pixels; 0: none")
    autocast: Literal["none", "bfloat16", "float16"] = "none"
    channels_last: bool = True
    deterministic: bool = False


class TableSettings(Settings):
    """Which measured table a search looks its cells up in."""

    name: str = Field("nas_bench_201_cifar10", description="a shipped table, or the path of a .csv, .csv.gz or .npz")
    value: str = Field("valid_accuracy_200", description="the column that the search sees")


class StudySettings(Settings):
    """An Optuna study over discrete cells."""

    kind: Literal["study"] = "study"
    trials: PositiveInt = 20
    epochs: PositiveInt = Field(8, description="most epochs of one trial; a pruned trial has fewer")
    evaluator: Literal["training", "table", "python"] = Field(
        "training", description="what a cell's value is: trained, looked up, or by `nasdrop.search(..., evaluator=...)`"
    )
    table: TableSettings = TableSettings()
    sampler: Literal["bayesian", "evolution", "local_search", "tpe", "gp", "nsga2", "nsga3", "random"] = "tpe"
    pruner: Literal["none", "median", "successive_halving", "hyperband"] = "successive_halving"
    min_epochs: PositiveInt = Field(2, description="epochs before a trial may be pruned")
    reduction_factor: int = Field(2, ge=2, description="the share 1/reduction_factor goes on at each rung")
    startup_trials: int = Field(10, ge=0, description="random trials before the model of tpe or gp is used")
    timeout_minutes: float = Field(0.0, ge=0, description="no trial starts after this; 0: no limit")


class FinalSettings(Settings):
    """After the search: the best cell is trained on train + valid and scored once on test, beside baselines."""

    seeds: PositiveInt = Field(3, description="trainings of the best cell, each with its own seed")
    random_cells: int = Field(3, ge=0, description="baseline: so many random cells, one training each")
    genotype: str = Field("DARTS_V2", description="baseline: a published cell of the same space; empty: none")
    without_drop: bool = Field(default=True, description="baseline: the best cell trained without drop path")


class Experiment(Settings):
    """A whole experiment file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="names the run folder")
    description: str = ""
    seed: int = Field(0, ge=0, lt=2**32)
    space: str = Field("darts", description="a shipped search space (nasdrop spaces) or a path to a TOML file")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    threads: int = Field(0, ge=0, description="CPU threads; 0: all cores")
    data: DataSettings = DataSettings()
    network: NetworkSettings = NetworkSettings()
    drop: DropSettings = DropSettings()
    train: TrainSettings = TrainSettings()
    search: StudySettings = StudySettings()
    final: FinalSettings = FinalSettings()
