"""A trained network applied to a user's files, with the preprocessing that its weights remember."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nasdrop.errors import DataError, InputError, RunFolderError
from nasdrop.run_folder import RunFolder
from nasdrop.train import choose_device, load_weights
from nasdrop.train.archives import Array, read_array, read_npz
from nasdrop.train.augment import normalise
from nasdrop.train.listings import refuse
from nasdrop.train.pictures import ENDINGS, read_picture
from nasdrop.trained import load_network

_BATCH = 64
_ARRAYS = (".npy", ".npz")
_NOT_PICTURES = ("digits", "npz")  # data sets whose numbers are not those of a picture file


@dataclass(frozen=True)
class Answer:
    """What a network says to one sample.

    Attributes:
        name: its file, with its number where the file holds several.
        probabilities: one a class.
    """

    name: str
    probabilities: tuple[float, ...]

    def ranked(self) -> list[int]:
        """Classes, the most probable first."""
        return sorted(range(len(self.probabilities)), key=lambda place: -self.probabilities[place])


class Predictor:
    """The network of a run folder, or of the folder that `nasdrop export --all` wrote.

    Args:
        folder: the folder.
        device: auto, cpu, cuda or cuda:N.

    Raises:
        InputError: the folder holds no trained network.
    """

    def __init__(self, folder: Path, device: str = "auto") -> None:
        run = RunFolder(folder)
        if not run.weights.is_file():
            raise RunFolderError(f"{folder}: holds no trained network: {run.weights.name} is missing")
        network, self.shape = load_network(run)
        self.device = choose_device(device)
        self.network: nn.Module = network.to(self.device)
        _, metadata = load_weights(run.weights)
        self.classes: tuple[str, ...] = tuple(json.loads(metadata["classes"]))
        self._scale = [torch.tensor(json.loads(metadata[name]), device=self.device) for name in ("mean", "std")]
        self._pictures = len(self.shape) == 3 and run.read_experiment().data.name not in _NOT_PICTURES

    def __call__(self, files: Sequence[Path]) -> Iterator[Answer]:
        """Answers in the order of the files; a folder stands for the files in it.

        Args:
            files: pictures, or .npy and .npz files (`x`) that hold samples of the network's shape.

        Raises:
            DataError: after the last answer, a line for each file that cannot be read or is of another shape.
        """
        found = [file for path in files for file in self._within(path)]
        if not found:
            raise InputError("files: must name something to predict, got nothing")
        faults: list[str] = []
        samples = self._samples(found, faults)
        while part := list(islice(samples, _BATCH)):
            rows = self.probabilities(torch.from_numpy(np.stack([array for _, array in part])))
            yield from (Answer(name, tuple(row)) for (name, _), row in zip(part, rows.tolist(), strict=True))
        refuse(faults)

    def probabilities(self, pixels: Tensor) -> Tensor:
        """Of stored pixels (N, C, *S): probabilities (N, classes), fp32, on the CPU."""
        with torch.no_grad():
            logits: Tensor = self.network(normalise(pixels.to(self.device), *self._scale))
        return logits.float().softmax(1).cpu()

    def _samples(self, files: Sequence[Path], faults: list[str]) -> Iterator[tuple[str, Array]]:
        """The samples of all files by name; what is wrong with a file goes to `faults`."""
        for file in files:
            try:
                yield from self._read(file)
            except DataError as error:
                faults += error.lines

    def _within(self, path: Path) -> list[Path]:
        if not path.is_dir():
            return [path]
        endings = ENDINGS if self._pictures else _ARRAYS
        return sorted(file for file in path.rglob("*") if file.suffix.lower() in endings)

    def _read(self, file: Path) -> list[tuple[str, Array]]:
        """The samples of a file by name."""
        if file.suffix.lower() not in _ARRAYS:
            if not self._pictures:
                raise DataError(f"{file}: must be an .npy or .npz file: this network was not trained on picture files")
            return [(str(file), read_picture(file, self.shape))]
        arrays = read_npz(file, {"x"}) if file.suffix.lower() == ".npz" else {"x": read_array(file)}
        if "x" not in arrays:
            raise DataError(f"{file}: must hold an array x")
        x = arrays["x"]
        if x.shape == self.shape:
            return [(str(file), self._numbers(file, x))]
        if x.shape[1:] != self.shape:
            raise DataError(f"{file}: must hold samples of shape {self.shape}, got an array of shape {x.shape}")
        return [(f"{file}[{number}]", row) for number, row in enumerate(self._numbers(file, x))]

    def _numbers(self, file: Path, x: Array) -> Array:
        if x.dtype.kind not in "iuf" or not np.isfinite(x).all():
            raise DataError(f"{file}: must hold finite numbers, got {x.dtype}")
        return x.astype(np.float32)
