"""Which images train the weights and which the alphas, and their batches: a pure function of (seed, epoch)."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice

from torch import Tensor

from nasdrop.errors import DataError
from nasdrop.settings import GradientSettings
from nasdrop.train import Dataset, num_steps, train_batches
from nasdrop.train.data import SPLIT_SEED, split
from nasdrop.train.device import derive_seed

Batches = Iterator[tuple[Tensor, Tensor]]


class Halves:
    """The two parts of the training images; the validation split is neither, unless there is nothing else.

    Args:
        data: `train` is divided.
        settings: of the search.
        seed: of the run; it orders the images, and does not divide them.

    Raises:
        DataError: a part is smaller than a batch.
    """

    def __init__(self, data: Dataset, settings: GradientSettings, seed: int) -> None:
        self.settings, self.seed = settings, seed
        self.alphas, weights = data.valid, data.train
        if settings.alpha_fraction > 0:
            self.alphas, weights = split(data.train, settings.alpha_fraction, SPLIT_SEED)
        self.data = replace(data, train=weights)
        for name, images in (("weights", weights), ("alphas", self.alphas)):
            if len(images) < settings.batch_size:
                rule = f"must be at least one batch of {settings.batch_size}"
                raise DataError(f"search: the images that train the {name} {rule}, got {len(images)}")

    @property
    def steps(self) -> int:
        """Steps of an epoch: whole batches of the weights' images."""
        return num_steps(self.data.train, self.settings.batch_size)

    def batches(self, epoch: int, first: int = 0) -> Batches:
        """The weights' batches of an epoch, from step `first` on."""
        batches = train_batches(self.data.train, self.data, self.settings, seed=self.seed, epoch=epoch)
        return islice(batches, first, None)

    def alpha_batches(self, epoch: int, first: int = 0) -> Batches:
        """The alphas' batches of an epoch, without end: their images are gone through again where they are fewer."""
        return islice(self._rounds(epoch), first, None)

    def _rounds(self, epoch: int) -> Batches:
        for number in count():
            seed = derive_seed(self.seed, "alphas", number)
            yield from train_batches(self.alphas, self.data, self.settings, seed=seed, epoch=epoch)
