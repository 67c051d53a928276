"""Every kind of file or text that a user can hand in: sound examples of it, and what reads it."""

import gzip
import io
import json
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
import torch
from PIL import Image

from nasdrop import cli, config, resources
from nasdrop.run_folder import RunFolder
from nasdrop.searchers.journal import open_journal
from nasdrop.searchers.result import Silent
from nasdrop.searchers.status import read_status
from nasdrop.searchers.storage import open_study, without_password
from nasdrop.searchers.table import Table
from nasdrop.settings import DataSettings, Experiment, StudySettings
from nasdrop.space import PUBLISHED, Genotype, SearchSpace, load_space
from nasdrop.train import load
from nasdrop.train.checkpoint import load_own, save
from nasdrop.train.readers import read_cifar, read_idx
from nasdrop.trained import load_network
from tests.faults.kinds import EXPERIMENTS, SPACE, prepare


class Untold(AssertionError):
    """The command line said that nobody had foreseen this."""


@dataclass(frozen=True)
class Parser:
    """One parser.

    Attributes:
        seeds: sound inputs.
        read: reads a file; `InputError` and `RunError` are answers, all else is a crash.
        ending: of the file's name.
    """

    seeds: list[bytes]
    read: Callable[[Path], object]
    ending: str = ""


def parsers(folder: Path) -> dict[str, Parser]:
    """All of them; what they need beside the file lies in `folder`."""
    prepare(folder)
    space = load_space(str(folder / "small.toml"))
    return {
        "experiment.toml": Parser(
            [path.read_bytes() for path in resources.folder("experiments").glob("*.toml")]
            + [text.encode() for text in EXPERIMENTS.values()],
            lambda path: config.dump(config.load(Experiment, path)),
        ),
        "override": Parser(_OVERRIDES, _override),
        "space.toml": Parser(
            [path.read_bytes() for path in resources.folder("search_spaces").glob("*.toml")] + [SPACE.encode()],
            lambda path: load_space(str(path)).size,
            ".toml",
        ),
        "genotype": Parser(
            [published.text.encode() for published in PUBLISHED.values()]
            + [Genotype.read(name).to_json().encode() for name in PUBLISHED],
            lambda path: Genotype.read(path).to_json(),
        ),
        "npz": Parser(_archives(), lambda path: _load(path, "npz"), ".npz"),
        "idx": Parser(_idx(), lambda path: read_idx(path, 3)),
        "cifar.bin": Parser([bytes(3 * 3073)], lambda path: read_cifar(path, 3)),
        "cifar_jpeg": Parser(_jpegs(), _read_jpegs),
        "pictures.csv": Parser(_listings(folder), lambda path: _load(path, "csv"), ".csv"),
        "picture": Parser(_pictures(), lambda path: _picture(path, folder)),
        "checkpoint": Parser([_checkpoint(folder)], lambda path: load_own(path, {"seed": 1}, "training")),
        "safetensors": Parser(
            [(folder / "finished" / "weights.safetensors").read_bytes()], lambda path: _weights(path, folder)
        ),
        "journal": Parser(_journals(folder), _study, ".journal"),
        "table.csv": Parser([(folder / "table.csv").read_bytes()], lambda path: Table.load(path, space), ".csv"),
        "table.csv.gz": Parser(
            [gzip.compress((folder / "table.csv").read_bytes())], lambda path: Table.load(path, space), ".csv.gz"
        ),
        "table.npz": Parser(_tables(), lambda path: Table.load(path, SearchSpace.load("nas_bench_201")), ".npz"),
        "storage URL": Parser(_URLS, _url),
        **{name: _of_run(folder, name) for name in ("result.json", "versions.json", "storage.json", "metrics.jsonl")},
    }


_OVERRIDES = [
    b"train.epochs=5", b"drop.p=0.2", b"search.costs=['parameters']", b"name=x", b"search.limits.parameters=5",
    b"space=darts", b"train.learning_rate=1e-3",
]  # fmt: skip
_URLS = [
    b"postgresql+psycopg://me:hunter2@host:5432/db?x=1", b"sqlite:///a.db", b"postgresql://host/db?password=hunter2",
    b"mysql://u:hunter2@[::1]/d", b"x",
]  # fmt: skip


def _override(path: Path) -> None:
    text = path.read_bytes().decode(errors="replace")
    config.load(Experiment, resources.find("experiments", "digits"), [text])


def _url(path: Path) -> None:
    """Where a URL can be read as one at all, its password is not shown."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    text = path.read_bytes().decode(errors="replace")
    shown = without_password(text)
    try:
        password = make_url(text).password
    except (ArgumentError, ValueError):
        return
    if password == "hunter2" and text.count("hunter2") == 1:  # noqa: S105 - the seeds' one
        assert "hunter2" not in shown, shown


def _load(path: Path, name: str) -> None:
    load(DataSettings(name=name, root=str(path.parent), file=path.name))


def _archives() -> list[bytes]:
    dice = np.random.default_rng(0)
    x, y = dice.integers(0, 255, (40, 1, 4, 4)).astype(np.uint8), np.arange(40) % 4
    made = []
    for pack in (np.savez, np.savez_compressed):
        for arrays in (
            {"x": x, "y": y, "split": np.repeat(["train", "valid", "test"], (24, 8, 8))},
            {"x_train": x.astype(np.float32), "y_train": y, "x_test": x.astype(np.float32), "y_test": y},
            {"x": x[:, :, 0], "y": y, "classes": np.array(["a", "b", "c", "d"])},
        ):
            file = io.BytesIO()
            pack(file, **arrays)
            made.append(file.getvalue())
    return made


def _idx() -> list[bytes]:
    plain = bytes([0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 4]) + bytes(80)
    return [plain, gzip.compress(plain)]


def _jpegs() -> list[bytes]:
    files = []
    for number in range(6):
        file = io.BytesIO()
        Image.new("RGB", (32, 32), (40 * number, 9, 9)).save(file, "JPEG")
        files.append(file.getvalue())
    offsets = np.cumsum([0, *(len(content) for content in files)])
    arrays = {"jpeg": np.frombuffer(b"".join(files), np.uint8), "offsets": offsets, "labels": np.arange(6)}
    packed = io.BytesIO()
    np.savez(packed, **{f"{part}_{name}": value for part in ("train", "test") for name, value in arrays.items()})
    return [packed.getvalue()]


def _read_jpegs(path: Path) -> None:
    from nasdrop.train.sources import SOURCES

    SOURCES["cifar10_jpeg"].read((path,))


def _pictures() -> list[bytes]:
    made = []
    for kind, mode in (("PNG", "RGB"), ("JPEG", "RGB"), ("PNG", "L"), ("PNG", "P"), ("BMP", "RGB"), ("GIF", "P")):
        file = io.BytesIO()
        Image.new(mode, (8, 8), 3).save(file, kind)
        made.append(file.getvalue())
    return made


def _listings(folder: Path) -> list[bytes]:
    beside = folder / "pictures.csv.fuzz" / "pictures"
    beside.mkdir(parents=True, exist_ok=True)
    for number in range(12):
        Image.new("L", (8, 8), 20 * number).save(beside / f"{number}.png")
    names = [f"pictures/{number}.png" for number in range(12)]
    rows = [f"{name},{'ab'[number % 2]}" for number, name in enumerate(names)]
    return [
        ("path,label\n" + "\n".join(rows) + "\n").encode(),
        ("path,label,split\n" + "\n".join(f"{row},train" for row in rows) + "\n").encode(),
    ]


def _picture(path: Path, folder: Path) -> None:
    """A folder of pictures of which one is not sound."""
    root = folder / "pictures"
    for label in "ab":
        (root / label).mkdir(parents=True, exist_ok=True)
        for number in range(5):
            if not (root / label / f"{number}.png").exists():
                Image.new("L", (8, 8), 20 * number).save(root / label / f"{number}.png")
    shutil.copyfile(path, root / "a" / "9.png")
    load(DataSettings(name="folder", root=str(root)))


def _checkpoint(folder: Path) -> bytes:
    state = {"identity": {"seed": 1, "data": "x"}, "network": {"w": torch.arange(6.0)}, "history": [{"epoch": 0}]}
    save(folder / "seed.pt", state)
    return (folder / "seed.pt").read_bytes()


def _copy(folder: Path) -> Path:
    """A run folder to damage."""
    copy = folder / "damaged"
    if not copy.exists():
        shutil.copytree(folder / "finished", copy)
    return copy


def _weights(path: Path, folder: Path) -> None:
    copy = RunFolder(_copy(folder))
    shutil.copyfile(path, copy.weights)
    load_network(copy)


def _of_run(folder: Path, name: str) -> Parser:
    """A file of a run folder, read by the commands that read it."""

    def read(path: Path) -> None:
        copy = _copy(folder)
        before = (folder / "finished" / name).read_bytes() if (folder / "finished" / name).exists() else None
        shutil.copyfile(path, copy / name)
        try:
            for command in (["show", str(copy)], ["search", str(folder / "train.toml"), "--out", str(copy)]):
                said = io.StringIO()
                with redirect_stderr(said), redirect_stdout(io.StringIO()):
                    cli.run(command)
                if "tells more" in said.getvalue() or "Traceback" in said.getvalue():
                    raise Untold(said.getvalue()[-500:])
        finally:
            (copy / name).unlink(missing_ok=True)
            if before is not None:
                (copy / name).write_bytes(before)

    finished = folder / "finished" / name
    seed = finished.read_bytes() if finished.exists() else json.dumps({"url": "sqlite:////nowhere/x.db"}).encode()
    return Parser([seed], read)


def _journals(folder: Path) -> list[bytes]:
    path = folder / "seed.journal"
    path.unlink(missing_ok=True)
    study = optuna.create_study(storage=open_journal(path), study_name="s", direction="maximize")
    genotype = Genotype.read("DARTS_V2").to_json()
    for value in range(3):
        trial = study.ask({"a": optuna.distributions.CategoricalDistribution(("x", "y"))})
        for key, known in {"worker": "w", "canonical": f"{value}", "genotype": genotype, "parameters": 3}.items():
            trial.set_user_attr(key, known)
        study.tell(trial, float(value))
    return [path.read_bytes()]


def _study(path: Path) -> None:
    read_status(open_study(path, "s", Silent()), StudySettings())


def _tables() -> list[bytes]:
    return [(resources.folder("tables") / "nas_bench_201_cifar10.npz").read_bytes()]
