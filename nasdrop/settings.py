"""What a user writes in an experiment file, with defaults, ranges and units.

Pydantic models, strict: a quoted number or `true` is not a probability, an unknown key is an error. Names of components
(spaces, data sets, schedules) are plain strings here; the room that owns a component knows its names.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from nasdrop.beside import Scalar, wrong_beside, wrong_range

Probability = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
PositiveInt = Annotated[int, Field(ge=1)]
Value = TypeVar("Value")
Model = TypeVar("Model", bound=BaseModel)
Rows = Annotated[tuple[Value, ...], Field(strict=False)]  # TOML's arrays are lists


class Settings(BaseModel):
    """Base of all settings: strict, frozen, finite, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def _obeying(settings: Model, wrong: Sequence[str]) -> Model:
    """The settings, unless rules between their keys are broken: `<key>: <rule>, got ...`, one line each."""
    if wrong:
        raise ValueError("\n".join(wrong))
    return settings


class DataSettings(Settings):
    """Which images, and how they are split."""

    name: str = Field(
        "digits", description="digits, fashion_mnist, cifar10, cifar10_jpeg, cifar100; your own: folder, csv or npz"
    )
    root: str = Field("", description="folder of the files; empty: the environment's NASDROP_DATA, else ./data")
    file: str = Field("", description="for name = 'npz' or 'csv': the file, relative to root")
    size: int = Field(0, ge=0, description="side in pixels that pictures are scaled and cropped to; 0: found")
    channels: Literal[0, 1, 3, 4] = Field(0, description="of pictures: grey, RGB, RGBA; 0: found")
    streaming: Literal["auto"] | bool = Field(
        "auto", description="leave pictures on disk while training; auto: where they would fill an eighth of the memory"
    )
    loader_workers: int = Field(2, ge=0, description="processes that decode pictures; 0: the training process itself")
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


class WeightSettings(Settings):
    """How weights are trained: SGD with a falling rate, augmentation, number format."""

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
    class_weights: Literal["none", "balanced"] | Rows[Annotated[float, Field(ge=0)]] = Field(
        "none", description="of the loss; balanced: rare classes count more, all together alike; or a list, one a class"
    )
    loss: str = Field("", description="your own: 'file.py:name', called with logits and labels; empty: cross-entropy")
    crop_padding: int = Field(0, ge=0, description="random crop after padding by this many pixels")
    flip: bool = Field(default=False, description="random left-right flip")
    cutout: int = Field(0, ge=0, description="side of the square set to zero, in pixels; 0: none")
    autocast: Literal["none", "bfloat16", "float16"] = "none"
    channels_last: bool = True
    deterministic: bool = False


class TrainSettings(WeightSettings):
    """One training run of a network of discrete cells."""

    epochs: PositiveInt = 20
    auxiliary_weight: float = Field(0.4, ge=0, description="weight of the auxiliary head's loss")
    metric: Literal["accuracy", "balanced_accuracy", "macro_f1", "top5"] = Field(
        "accuracy", description="what a study maximises on the validation split"
    )
    ema: float = Field(
        0.0, ge=0, lt=1, description="decay of a moving average of the weights, which is scored and kept; 0: none"
    )
    norm_statistics: Literal["global", "local", "frozen"] = Field(
        "global",
        description="batch norm's: of the whole batch; of a process's rows, where torchrun shares a training; "
        "or kept as they are, for inherited weights",
    )
    checkpoint_steps: PositiveInt = Field(200, description="steps between checkpoints; one more at every epoch's end")


class SupernetSettings(WeightSettings):
    """A supernet, and how its weights are trained; the defaults are DARTS's."""

    epochs: PositiveInt = 50
    batch_size: PositiveInt = 64
    learning_rate: float = Field(0.025, gt=0, description="of the weights, at the start of the cosine")
    final_learning_rate: float = Field(0.001, ge=0, description="of the weights, at the end of the cosine")
    autocast: Literal["none", "bfloat16"] = "none"
    channels: PositiveInt = Field(16, description="of the supernet's first cells")
    num_cells: PositiveInt = Field(8, description="of the supernet")
    layout: Literal["auto", "packed", "grouped", "reference"] = Field(
        "auto", description="how the supernet computes, the same sums; auto: grouped on a GPU, packed elsewhere"
    )
    checkpoint_cells: bool = Field(default=False, description="recompute each cell in backward: less memory, more time")
    checkpoint_steps: PositiveInt = Field(200, description="steps between checkpoints; one more at every epoch's end")


class ScoringSettings(Settings):
    """How a cell is scored with weights that it inherits."""

    statistics_batches: PositiveInt = Field(8, description="training batches that batch norm is re-estimated on")
    score_images: int = Field(0, ge=0, description="validation images that a cell is scored on; 0: all")
    score: Literal["metric", "likelihood"] = Field(
        "metric", description="train.metric, or exp(-loss), the geometric mean of the right classes' probabilities"
    )


class InheritedSettings(SupernetSettings, ScoringSettings):
    """The supernet of a study whose cells are not trained: a uniformly sampled cell a step (arXiv:1904.00420)."""


class TableSettings(Settings):
    """Which measured table a search looks its cells up in."""

    name: str = Field("nas_bench_201_cifar10", description="a shipped table, or the path of a .csv, .csv.gz or .npz")
    value: str = Field("valid_accuracy_200", description="the column that the search sees")


class BesideSettings(Settings):
    """What a setting is searched among: a range or choices; a plain list is short for choices."""

    low: int | float | None = Field(None, description="of a range; whole numbers are drawn where both ends are whole")
    high: int | float | None = None
    step: int | float | None = Field(None, gt=0, description="left out: any number, or any whole one")
    log: bool = Field(default=False, description="draw evenly on a logarithmic scale")
    choices: Rows[Scalar] = ()
    when: dict[str, Rows[Scalar]] = Field(
        {}, description="searched only where these settings, searched too and named above, have one of these values"
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        """A list is a table of choices, and a lone value of a condition a list of one."""
        if isinstance(value, list | tuple):
            return {"choices": value}
        if isinstance(value, dict) and isinstance(value.get("when"), dict):
            listed = {key: one if isinstance(one, list | tuple) else [one] for key, one in value["when"].items()}
            return {**value, "when": listed}
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        return _obeying(self, wrong_range(self))


class RungSettings(Settings):
    """A cheaper training, after which only the best trials go on."""

    epochs: PositiveInt
    channels: int = Field(0, ge=0, description="of a narrower network; 0: those of [network]")
    num_cells: int = Field(0, ge=0, description="of a shallower network; 0: those of [network]")


class StudySettings(Settings):
    """An Optuna study over discrete cells."""

    kind: Literal["study"] = "study"
    trials: PositiveInt = 20
    epochs: PositiveInt = Field(8, description="most epochs of one trial; a pruned trial has fewer")
    evaluator: Literal["training", "inherited", "table", "python"] = Field(
        "training",
        description="what a cell's value is: trained, scored with a supernet's weights, looked up, "
        "or by `nasdrop.search(..., evaluator=...)`",
    )
    supernet: InheritedSettings = InheritedSettings()
    table: TableSettings = TableSettings()
    costs: Rows[str] = Field(
        (),
        description="minimised beside the value: parameters, multiply_adds, latency (seconds of a batch on this "
        "device), a column of the table, or what else the evaluator tells",
    )
    limits: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {}, description="the most that a cell may cost, by the names of costs; one that costs more is not trained"
    )
    latency_batch: PositiveInt = Field(1, description="images at once where latency is measured")
    beside: dict[str, BesideSettings] = Field(
        {}, description="settings that trials choose beside the cell, by their dotted keys (docs/evaluators.md)"
    )
    sampler: Literal["bayesian", "evolution", "local_search", "tpe", "gp", "nsga2", "nsga3", "random"] = "tpe"
    pruner: Literal["none", "median", "successive_halving", "hyperband"] = "successive_halving"
    min_epochs: PositiveInt = Field(2, description="epochs before a trial may be pruned")
    reduction_factor: int = Field(2, ge=2, description="the share 1/reduction_factor goes on at each rung")
    fidelity: Rows[RungSettings] = Field(
        (), description="cheap trainings before the full one; the share 1/reduction_factor goes on after each"
    )
    startup_trials: int = Field(10, ge=0, description="random trials before the model of tpe or gp is used")
    timeout_minutes: float = Field(0.0, ge=0, description="no trial starts after this; 0: no limit")
    process_hours: float = Field(
        0.0,
        ge=0,
        description="nor after the workers have run so long in all (GPU-hours, with one a GPU); 0: no limit",
    )
    target: float = Field(0.0, ge=0, description="nor after a cell has reached this value; 0: no target")
    heartbeat_seconds: float = Field(60.0, gt=0, description="how often a worker shows a sign of life")
    grace_seconds: float = Field(
        600.0, gt=0, description="without one, a worker on another host counts as dead; longer than any outage"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse what would have live workers count as dead."""
        rule = f"grace_seconds: must be greater than heartbeat_seconds, {self.heartbeat_seconds:g}"
        wrong = self.grace_seconds <= self.heartbeat_seconds
        return _obeying(self, [f"{rule}, got {self.grace_seconds:g}"] * wrong + _wrong_ladder(self))


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


def _wrong_ladder(settings: StudySettings) -> list[str]:
    """What is wrong with the rungs by themselves."""
    if not settings.fidelity:
        return []
    wanted = {"evaluator": "training", "pruner": "successive_halving"}
    lines = [
        f"{key}: must be {value!r} where there is search.fidelity, got {getattr(settings, key)!r}"
        for key, value in wanted.items()
        if getattr(settings, key) != value
    ]
    if settings.costs:
        lines.append(f"costs: must be none where there is search.fidelity, got {list(settings.costs)!r}")
    rungs = [*settings.fidelity, RungSettings(epochs=settings.epochs)]
    for number, (rung, following) in enumerate(pairwise(rungs)):
        sizes = [(one.channels or math.inf, one.num_cells or math.inf) for one in (rung, following)]
        grows = all(before <= after for before, after in zip(*sizes, strict=True))
        if not grows or (sizes[0] == sizes[1] and rung.epochs >= following.epochs):
            rule = "must be cheaper than the next, in epochs or in the network's size, and in nothing larger"
            lines.append(f"fidelity.{number}: {rule}, got {rung.model_dump()}")
    return lines


class CellSettings(Settings):
    """No search: a cell that is known is trained (`nasdrop train`)."""

    kind: Literal["cell"]
    genotype: str = Field(description="a published name, or a text of a genotype")


def search_kind(search: object) -> str:
    """The tag of the settings that a `[search]` table is of: "study", "cell", or a strategy's name.

    Args:
        search: a table as it was read, or settings.
    """
    table = search if isinstance(search, dict) else vars(search) if isinstance(search, Settings) else {}
    if table.get("kind", "study") != "gradient":
        return str(table.get("kind", "study"))
    return str(table.get("strategy", "darts"))


Search = Annotated[
    Annotated[StudySettings, Tag("study")]
    | Annotated[CellSettings, Tag("cell")]
    | Annotated[DartsSettings, Tag("darts")]
    | Annotated[GdasSettings, Tag("gdas")]
    | Annotated[PcDartsSettings, Tag("pc_darts")]
    | Annotated[DrnasSettings, Tag("drnas")]
    | Annotated[PDartsSettings, Tag("p_darts")]
    | Annotated[DropNasSettings, Tag("drop_nas")]
    | Annotated[FairDartsSettings, Tag("fair_darts")]
    | Annotated[OneShotSettings, Tag("one_shot")],
    Discriminator(search_kind),
]


class FinalSettings(Settings):
    """After the search: the best cell is trained on train + valid and scored once on test, beside baselines."""

    seeds: int = Field(3, ge=0, description="trainings of the best cell, each with its own seed; 0: the search alone")
    random_cells: int = Field(3, ge=0, description="baseline: so many random cells, one training each")
    genotype: str = Field("DARTS_V2", description="baseline: a published cell of the same space; empty: none")
    without_drop: bool = Field(default=True, description="baseline: the best cell trained without drop path")
    drop: DropSettings | None = Field(None, description="drop path of these trainings; left out: that of the search")
    table: str = Field("", description="also look the best cell up in this measured table; empty: do not")
    resnet: bool = Field(default=False, description="baseline: a residual network of as many parameters, once a seed")
    inherit: str = Field(
        "", description="cells start from the supernet of this run folder, not from scratch; empty: from scratch"
    )
    validate_epochs: bool = Field(
        default=False, description="hold the validation split out, and score it after every epoch"
    )


class Experiment(Settings):
    """A whole experiment file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="names the run folder")
    description: str = ""
    seed: int = Field(0, ge=0, lt=2**32)
    space: str = Field("darts", description="a shipped search space (nasdrop spaces) or a path to a TOML file")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    threads: int = Field(0, ge=0, description="CPU threads; 0: all cores")
    workers: int = Field(1, ge=0, description="processes that train side by side; 0: one a GPU, or one a core")
    data: DataSettings = DataSettings()
    network: NetworkSettings = NetworkSettings()
    drop: DropSettings = DropSettings()
    train: TrainSettings = TrainSettings()
    search: Search = StudySettings()
    final: FinalSettings = FinalSettings()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not isinstance(self.search, StudySettings):
            return self
        lines = wrong_beside(self)
        for number, rung in enumerate(self.search.fidelity):
            for key in ("channels", "num_cells"):
                full, size = getattr(self.network, key), getattr(rung, key)
                if size >= full:
                    rule = f"must be below network.{key}, {full}, or left out"
                    lines.append(f"search.fidelity.{number}.{key}: {rule}, got {size}")
                if size and f"network.{key}" in self.search.beside:
                    lines.append(f"search.fidelity.{number}.{key}: must be left out where it is searched, got {size}")
        return _obeying(self, lines)
