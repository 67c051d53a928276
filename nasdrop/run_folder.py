"""What a run leaves behind: names, lock, resolved experiment, versions and hashes.

The folder alone is enough to resume, export or repeat a run. One process writes to it at a time.
"""

import fcntl
import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from nasdrop import config
from nasdrop.errors import RunFolderError
from nasdrop.files import digest, replacing, sweep, write_json, write_text
from nasdrop.settings import Experiment

# How much to search and on which machine: these may change between two calls that continue one run.
_FREE_KEYS = (
    "description",
    "device",
    "threads",
    "workers",
    "data.root",
    "data.loader_workers",
    "search.trials",
    "search.timeout_minutes",
    "search.process_hours",
    "search.target",
    "search.heartbeat_seconds",
    "search.grace_seconds",
    "search.checkpoint_steps",
    "train.checkpoint_steps",
    "search.supernet.checkpoint_steps",
)
_PACKAGES = ("nasdrop", "torch", "numpy", "networkx", "optuna", "tensorboard", "safetensors")


@dataclass(frozen=True)
class RunFolder:
    """The paths of one run.

    Attributes:
        path: the folder.
        database: URL of the database with the run's study; empty: the one that the folder names, else the journal.
    """

    path: Path
    database: str = ""

    @property
    def experiment(self) -> Path:
        """The resolved experiment, every default written out."""
        return self.path / "experiment.toml"

    @property
    def identity(self) -> Path:
        """Versions, hashes and the settings that make this run what it is."""
        return self.path / "versions.json"

    @property
    def sources(self) -> Path:
        """Copies of the search space and of the user's own operations."""
        return self.path / "sources"

    @property
    def journal(self) -> Path:
        """The Optuna study."""
        return self.path / "study.journal"

    @property
    def storage(self) -> Path:
        """Where the study is, if it is not the journal: a database's URL without its password, and a name, as JSON."""
        return self.path / "storage.json"

    @property
    def metrics(self) -> Path:
        """JSON lines: every recorded number."""
        return self.path / "metrics.jsonl"

    @property
    def events(self) -> Path:
        """TensorBoard's event files, a folder a training."""
        return self.path / "events"

    @property
    def checkpoints(self) -> Path:
        """Trainings that are not finished."""
        return self.path / "checkpoints"

    @property
    def logs(self) -> Path:
        """What worker processes print."""
        return self.path / "workers"

    @property
    def genotype(self) -> Path:
        """The best cell, as JSON."""
        return self.path / "genotype.json"

    @property
    def picture(self) -> Path:
        """The best cell, as SVG."""
        return self.path / "cell.svg"

    @property
    def best(self) -> Path:
        """The experiment with the settings that the best trial chose beside the cell; only where there are such."""
        return self.path / "best.toml"

    @property
    def front(self) -> Path:
        """The Pareto front, as JSON."""
        return self.path / "front.json"

    @property
    def front_picture(self) -> Path:
        """The Pareto front among all trials, as SVG."""
        return self.path / "front.svg"

    @property
    def weights(self) -> Path:
        """The best network, in safetensors."""
        return self.path / "weights.safetensors"

    @property
    def result(self) -> Path:
        """Scores of the best cell and of the baselines, as JSON."""
        return self.path / "result.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process.

        Raises:
            RunFolderError: another process holds it, or it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("a+")
        except OSError as error:
            raise RunFolderError(f"{self.path}: cannot be written: {error.strerror}") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.seek(0)
                holder = lock.read().strip() or "unknown"
                raise RunFolderError(
                    f"{self.path}: another run is writing here (process {holder}); wait for it, or give another --out"
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            sweep(self.path)
            yield

    def claim(self, experiment: Experiment, sources: Mapping[str, Path], images: str = "") -> None:
        """Write the experiment into a new folder, or check that a used folder belongs to it.

        Args:
            experiment: the resolved experiment.
            sources: files to copy and hash, by the name they get in the run folder.
            images: tells the data from others of the same name; empty: not known here.

        Raises:
            RunFolderError: the folder belongs to another experiment or to other sources.
        """
        contents = {name: path.read_bytes() for name, path in sources.items()}
        identity = {"settings": _fixed(experiment), "sources": {name: digest(text) for name, text in contents.items()}}
        if self.identity.exists():
            images = self._compare(identity, images)
        elif self.journal.exists() or self.genotype.exists():
            raise RunFolderError(f"{self.path}: holds a run but no {self.identity.name}; give another --out")
        for name, content in contents.items():
            copy = self.sources / name
            if not copy.is_file() or copy.read_bytes() != content:  # several workers may claim one folder at once
                with replacing(copy) as temporary:
                    temporary.write_bytes(content)
        write_json(self.identity, identity | {"versions": versions(), "images": images})
        write_text(self.experiment, config.dump(experiment))

    def read_experiment(self) -> Experiment:
        """The resolved experiment of this run.

        Raises:
            RunFolderError: this is no run folder.
        """
        if not self.experiment.is_file():
            raise RunFolderError(f"{self.path}: not a run folder: {self.experiment.name} is missing")
        return config.load(Experiment, self.experiment)

    def read_best(self) -> Experiment:
        """The experiment as its best cell is trained: with the settings that were found beside it, if any.

        Raises:
            RunFolderError: this is no run folder.
        """
        return config.load(Experiment, self.best) if self.best.is_file() else self.read_experiment()

    def read_json(self, path: Path) -> Any:
        """The value of a JSON file of this folder.

        Raises:
            RunFolderError: it is missing or damaged.
        """
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RunFolderError(f"{path}: cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise RunFolderError(f"{path}: damaged: not valid JSON: {error}") from None

    def _compare(self, identity: Mapping[str, Mapping[str, Any]], images: str) -> str:
        """Refuse what differs; what tells the data, as far as it is known."""
        known = self.read_json(self.identity)
        if not isinstance(known, dict) or not all(isinstance(known.get(part), dict) for part in identity):
            raise RunFolderError(f"{self.identity}: damaged: settings and sources are missing")
        lines = [
            f"{self.path}: belongs to another experiment: {key} is {known[part].get(key)!r} there, {value!r} here"
            for part in identity
            for key in sorted({*identity[part], *known[part]})
            if known[part].get(key) != (value := identity[part].get(key))
        ]
        there = known.get("images") or images
        if images and there != images:
            lines.append(f"{self.path}: was begun with other images: their digest is {there!r} there, {images!r} here")
        if lines:
            raise RunFolderError(*lines, f"{self.path}: give another --out, or --fresh to set the old run aside")
        return str(there)


def default_path(experiment: Experiment, sources: Mapping[str, Path], root: Path) -> Path:
    """`runs/<name>-<8 digits>`: equal experiments meet in one folder, different ones never do."""
    parts = [json.dumps(_fixed(experiment), sort_keys=True)]
    parts += [digest(path.read_bytes()) for _, path in sorted(sources.items())]
    return root / f"{experiment.name}-{digest(chr(10).join(parts))[:8]}"


def newest(root: Path) -> Path:
    """The run folder under `root` that was started or continued last.

    Raises:
        RunFolderError: there is none.
    """
    runs = [folder for folder in root.glob("*/") if RunFolder(folder).experiment.is_file()]
    if not runs:
        raise RunFolderError(f"{root}: no run folder here; name one")
    return max(runs, key=lambda folder: RunFolder(folder).experiment.stat().st_mtime)


def set_aside(path: Path) -> Path | None:
    """Rename an old run folder out of the way; its new path, or None if there was none."""
    if not path.exists():
        return None
    for number in range(1, 10_000):
        aside = path.with_name(f"{path.name}.old{number}")
        if not aside.exists():
            path.rename(aside)
            return aside
    raise RunFolderError(f"{path}: too many old runs beside it; delete some")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    return {"python": platform.python_version(), **{package: _version(package) for package in _PACKAGES}}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _fixed(experiment: Experiment) -> dict[str, Any]:
    return {key: value for key, value in config.flatten(experiment).items() if key not in _FREE_KEYS}
