"""How the weights of networks and of supernets are trained."""

from typing import Annotated, Literal

from pydantic import Field

from nasdrop.settings.base import Fraction, PositiveInt, Rows, Settings


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
