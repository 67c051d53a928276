"""What a run leaves, put to use: its best network with trained weights, in the forms that others read."""

import json
import platform
import shutil
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import nn

from nasdrop.drop import DropScheduler
from nasdrop.errors import ConfigError, GenotypeError, InputError, RunFolderError
from nasdrop.exporters import FORMATS, PICTURE, Facts, card, export, save_onnx, save_program, save_source, text
from nasdrop.files import replacing, sweep, write_text
from nasdrop.models.cost import count, latency
from nasdrop.models.fractal import FractalNet
from nasdrop.models.network import Network
from nasdrop.run_folder import RunFolder
from nasdrop.searchers.training import build_network, discrete, drop_schedule
from nasdrop.settings import Experiment
from nasdrop.space import Genotype, SearchSpace, load_space
from nasdrop.train import load_weights

TEXT_FILES = {"darts": "genotype-darts", "nas-bench-201": "genotype-nas-bench-201", "json": "genotype"} | dict.fromkeys(
    ("svg", "dot", "mermaid"), "cell"
)
"""Format -> name of the file without its ending."""
NETWORK_FILES = {
    "pt2": (".pt2", "the network as a program of torch.export"),
    "onnx": (".onnx", "the network as ONNX; genotype, classes and normalisation in its metadata"),
    "source": (".py", "the network as plain PyTorch, with its weights beside it"),
}
"""Format -> (ending, what the files are)."""
LEFT_OUT = "left out: "


def load_network(folder: RunFolder) -> tuple[Network | FractalNet, tuple[int, ...]]:
    """The best network of a run with its trained weights, and the shape (C, *spatial) of one image.

    Raises:
        RunFolderError: the run has no trained weights yet, or they are damaged.
    """
    weights, metadata = load_weights(folder.weights)
    experiment = trained_experiment(folder, metadata)
    try:
        shape = tuple(json.loads(metadata["shape"]))
        num_classes = int(metadata["num_classes"])
        genotype = Genotype.from_json(metadata["genotype"])
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RunFolderError(f"{folder.weights}: damaged: its metadata lack {reason}") from None
    if not (2 <= len(shape) <= 4 and all(type(size) is int and size > 0 for size in shape) and num_classes > 0):
        raise RunFolderError(f"{folder.weights}: damaged: its metadata tell of images {shape} in {num_classes} classes")
    build = partial(build_network, discrete(experiment), run_space(folder), genotype, shape=shape)
    _refuse_misfit(folder, lambda: build(num_classes=num_classes), weights)
    network = build(num_classes=num_classes)
    network.load_state_dict(weights)
    return network.eval(), shape


def _refuse_misfit(folder: RunFolder, build: Callable[[], nn.Module], weights: Mapping[str, torch.Tensor]) -> None:
    """Compare weights with the network that they are said to be of, before that takes memory."""
    try:
        with torch.device("meta"):
            there = {name: tuple(value.shape) for name, value in build().state_dict().items()}
    except (RuntimeError, TypeError, OverflowError) as error:
        raise RunFolderError(f"{folder.weights}: damaged: {' '.join(str(error).split())[:200]}") from None
    here = {name: tuple(value.shape) for name, value in weights.items()}
    wrong = sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))
    if wrong:
        name = wrong[0]
        raise RunFolderError(
            f"{folder.weights}: belongs to another network, or is damaged: {name!r} must be of the shape "
            f"{there.get(name, 'none')}, got {here.get(name, 'none')}"
        )


def trained_experiment(folder: RunFolder, metadata: Mapping[str, str]) -> Experiment:
    """The experiment that a run's weights were trained by: with settings that may have been found beside the cell.

    Args:
        folder: the run.
        metadata: of its weights, which may be of an earlier best cell.

    Raises:
        RunFolderError: they are damaged.
    """
    if "experiment" not in metadata:
        return folder.read_best()
    try:
        return Experiment.model_validate_json(metadata["experiment"])
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise RunFolderError(f"{folder.weights}: damaged: its metadata hold no experiment ({reason})") from None


def run_space(folder: RunFolder) -> SearchSpace:
    """The search space of a run, from the copy of its files that the run holds."""
    return load_space(str(folder.sources / f"{Path(folder.read_experiment().space).stem}.toml"))


def export_network(folder: RunFolder, name: str, path: Path, column: str | None = None) -> tuple[Path, ...]:
    """Write a run's best network with its trained weights.

    Args:
        folder: the run.
        name: pt2, onnx or source.
        path: where to; plain source puts its weights beside it.
        column: of a fractal run, one column alone; see `one_column`.

    Returns:
        The files that were written.

    Raises:
        InputError: the run has no trained weights, or the format cannot hold its network.
        RunError: what was written would compute something else.
    """
    whole, shape = load_network(folder)
    network = whole if column is None else one_column(whole, column)
    _, metadata = load_weights(folder.weights)
    if name == "pt2":
        save_program(network, shape, path)
        return (path,)
    if name == "onnx":
        save_onnx(network, shape, path, metadata)
        return (path,)
    if not isinstance(network, Network | nn.Sequential):
        raise ConfigError("format source: writes a fractal network column by column, got no column")
    space = run_space(folder)
    written = save_source(network, path, own=space.operations, metadata=metadata)
    return (*written, *copy_beside(path, [operation.file for operation in space.own_operations]))


def copy_beside(path: Path, files: Iterable[Path]) -> list[Path]:
    """Copy files into the folder of `path`, where they are not there already.

    Raises:
        InputError: another file of that name lies there.
    """
    copies = []
    for file in dict.fromkeys(files):
        copy, content = path.parent / file.name, file.read_bytes()
        if copy.exists() and copy.read_bytes() != content:
            raise InputError(f"{copy}: is another file than the {file.name} that {path.name} imports; move it away")
        write_text(copy, content.decode())
        copies.append(copy)
    return copies


def one_column(network: nn.Module, column: str) -> nn.Module:
    """One column of a run's fractal network as a plain network.

    Args:
        network: what `load_network` gives.
        column: its number from 0, the shallowest, or `deepest` or `shallowest`.

    Raises:
        ConfigError: there is no such column, or the network has none.
    """
    if not isinstance(network, FractalNet):
        raise ConfigError(f"column: must be of a fractal network, got column {column!r} of a network of cells")
    return network.column(int(column) if column.isdecimal() else column)


def bundle(folder: RunFolder, out: Path) -> tuple[Path, ...]:
    """Write everything that a run's best network can be exported to into one folder, with a model card.

    Formats that cannot hold this network, or whose packages are not installed, are left out; the card says why.

    Args:
        folder: the run.
        out: the folder to write, made where it is missing.

    Raises:
        InputError: the run has no trained weights, or `out` is its own folder.
        RunError: what was written would compute something else.
    """
    if out.resolve() == folder.path.resolve():
        raise InputError(f"{out}: a bundle must be written into another folder than its run")
    network, shape = load_network(folder)
    genotype = Genotype.read(folder.genotype)
    out.mkdir(parents=True, exist_ok=True)
    sweep(out)
    files: dict[str, str] = {}
    for name, (ending, _) in FORMATS.items():
        path = out / (TEXT_FILES[name] + ending)
        try:
            write_text(path, text(genotype, name))
            files[path.name] = f"the cell as {name}"
        except GenotypeError as error:
            files[path.name] = LEFT_OUT + str(error)
    files[export(genotype, out / f"cell.{PICTURE}").name] = f"the cell as {PICTURE}"
    for name, (ending, what) in NETWORK_FILES.items():
        try:
            written = export_network(folder, name, out / f"network{ending}")
            files |= {path.name: what for path in written}
        except InputError as error:
            files[f"network{ending}"] = LEFT_OUT + str(error)
    files |= _copy_of_run(folder, RunFolder(out))
    _, metadata = load_weights(folder.weights)
    facts = _facts(folder, network, shape, files)
    write_text(out / "MODEL_CARD.md", card(trained_experiment(folder, metadata), facts))
    present = [out / name for name, what in files.items() if not what.startswith(LEFT_OUT)]
    return (out / "MODEL_CARD.md", *present)


def _copy_of_run(folder: RunFolder, out: RunFolder) -> dict[str, str]:
    """Copy what `load_network` needs; the files by name, with what they are."""
    out.sources.mkdir(exist_ok=True)
    copied = {
        folder.weights: "weights with the genotype and the experiment in their metadata",
        folder.experiment: "the experiment, all settings written out",
        **dict.fromkeys(sorted(folder.sources.iterdir()), "of the search space"),
    }
    for file in copied:
        with replacing(out.path / file.relative_to(folder.path)) as temporary:
            shutil.copyfile(file, temporary)
    return {str(file.relative_to(folder.path)): what for file, what in copied.items()}


def _facts(folder: RunFolder, network: Network | FractalNet, shape: tuple[int, ...], files: dict[str, str]) -> Facts:
    _, metadata = load_weights(folder.weights)
    experiment = discrete(trained_experiment(folder, metadata))
    schedule = drop_schedule(experiment.drop, Genotype.read(folder.genotype))
    cost = count(network, shape)
    return Facts(
        metadata=metadata,
        result=folder.read_json(folder.result),
        parameters=cost.parameters,
        multiply_adds=cost.multiply_adds,
        latencies={batch: latency(network, shape, batch) for batch in (1, 64)},
        device=f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
        p=schedule.p,
        rates=DropScheduler(network, schedule, epochs=experiment.train.epochs).table(),
        versions=folder.read_json(folder.identity)["versions"],
        files=files,
    )
