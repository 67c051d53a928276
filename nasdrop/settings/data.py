"""Which images a run sees."""

from typing import Literal

from pydantic import Field

from nasdrop.settings.base import Fraction, Settings


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
