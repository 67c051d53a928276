"""Which picture files a user's data set has, what they show, and which part each belongs to: a folder, or a CSV file.

Files are held by their paths below one root, in an order that no file system decides: equal data, equal splits.
"""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nasdrop.errors import DataError, suggest
from nasdrop.train.archives import PARTS
from nasdrop.train.lookup import reading
from nasdrop.train.pictures import ENDINGS
from nasdrop.train.readers import Labels

MAX_LINES = 10
"""Mistakes of one data set that are told one by one."""

_PART_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_COLUMNS = {
    "path": ("path", "file", "filename", "image"),
    "label": ("label", "class", "target"),
    "split": ("split", "part", "subset"),
}


@dataclass(frozen=True)
class Listing:
    """The files of a data set.

    Attributes:
        root: the folder that all of them lie in.
        names: their paths below it, with forward slashes.
        labels: (N,), each in 0 .. len(classes) - 1.
        parts: (N,), indices into PARTS; all 0 where the data set says nothing.
        classes: names of the labels.
        others: files that are no pictures by their ending, and were left out.
    """

    root: Path
    names: tuple[str, ...]
    labels: Labels
    parts: Labels
    classes: tuple[str, ...]
    others: int = 0

    def path(self, index: int) -> Path:
        """Where a file is."""
        return self.root / self.names[index]


def list_folder(root: Path) -> Listing:
    """The pictures of a folder with one folder a class, or with folders train, val and test that hold such ones.

    Files may lie deeper in the folder of their class. What begins with a dot is left out.

    Raises:
        DataError: the folder is missing or has no classes, a class has no pictures, or another part has a class that
            train does not have.
    """
    if not root.is_dir():
        raise DataError(f"{root}: must be a folder with one folder a class, got no folder")
    with reading(root):
        tops = _tops(root)
        classes = [folder.name for folder in _folders(tops["train"])]
        if not classes:
            raise DataError(f"{root}: must have one folder a class, got none")
        found = [(part, folder, *_pictures(folder, root)) for part, top in tops.items() for folder in _folders(top)]
    endings = " ".join(sorted(ENDINGS))
    lines = [f"{folder}: must hold pictures ({endings}), got none" for _, folder, names, _ in found if not names]
    lines += [
        f"{folder}: must be a class of {tops['train']} too; {suggest(folder.name, classes)}"
        for _, folder, _, _ in found
        if folder.name not in classes
    ]
    refuse(lines)
    return Listing(
        root,
        tuple(name for _, _, names, _ in found for name in names),
        _codes([folder.name for _, folder, names, _ in found for _ in names], classes),
        _codes([part for part, _, names, _ in found for _ in names], PARTS),
        tuple(classes),
        sum(others for _, _, _, others in found),
    )


def list_csv(path: Path) -> Listing:
    """The pictures that a CSV file names, with their labels.

    The first line names the columns: `path` (below the folder of the CSV file), `label` and, optionally, `split` (the
    words train, valid or test). Commas, semicolons or tabs stand between them. Labels are names of classes.

    Raises:
        DataError: a column is missing, a row has too few, a split is unknown, a path leaves the folder or names no
            file; all of them at once, up to a number.
    """
    with reading(path), path.open(encoding="utf-8-sig", newline="") as file:
        head = file.readline()
        separator = max(",;\t", key=head.count)
        columns = _columns(path, next(csv.reader([head], delimiter=separator), []))
        try:
            rows = [(number, row) for number, row in enumerate(csv.reader(file, delimiter=separator), start=2) if row]
        except csv.Error as error:
            raise DataError(f"{path}: must be a CSV file, got: {error}") from None
    lines = [f"{path}: line {number}: {fault}" for number, row in rows if (fault := _fault(path, row, columns))]
    refuse(lines)
    if not rows:
        raise DataError(f"{path}: must name pictures, one a line, got none")
    words = [row[columns["label"]].strip() for _, row in rows]
    classes = sorted(set(words), key=_natural)
    split = columns.get("split")
    parts = [_PART_NAMES[row[split].strip().lower()] if split is not None else "train" for _, row in rows]
    return Listing(
        path.parent,
        tuple(row[columns["path"]].strip() for _, row in rows),
        _codes(words, classes),
        _codes(parts, PARTS),
        tuple(classes),
    )


def refuse(lines: Sequence[str]) -> None:
    """Raise the mistakes of a data set, the first ones one by one and the rest as a number.

    Raises:
        DataError: there is any.
    """
    if lines:
        rest = [f"and {len(lines) - MAX_LINES} more such files"] if len(lines) > MAX_LINES else []
        raise DataError(*lines[:MAX_LINES], *rest)


def _folders(root: Path) -> list[Path]:
    """The folders in a folder, by name."""
    return [entry for entry in sorted(root.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]


def _tops(root: Path) -> dict[str, Path]:
    """The folder of each part; the root itself where it has no folder `train` that holds folders."""
    named = [(_PART_NAMES.get(folder.name.lower(), ""), folder) for folder in _folders(root)]
    if not any(part == "train" and _folders(folder) for part, folder in named):
        return {"train": root}
    lines = [f"{folder}: must be called train, valid or test beside such folders" for part, folder in named if not part]
    parts = [part for part, _ in named if part]
    lines += [f"{root}: must have one folder for {part}, got several" for part in PARTS if parts.count(part) > 1]
    lines += [f"{folder}: must have one folder a class, got none" for _, folder in named if not _folders(folder)]
    refuse(lines)
    return {part: dict(named)[part] for part in PARTS if part in parts}


def _pictures(folder: Path, root: Path) -> tuple[list[str], int]:
    """Names below the root of the pictures in a folder and the folders in it, and the number of other files."""
    names, others = [], 0
    for place, inner, files in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        below = Path(place).relative_to(root).as_posix()
        for name in sorted(name for name in files if not name.startswith(".")):
            if Path(name).suffix.lower() in ENDINGS:
                names.append(f"{below}/{name}")
            else:
                others += 1
    return names, others


def _columns(path: Path, head: Sequence[str]) -> dict[str, int]:
    """Where each column of a CSV file stands."""
    titles = [title.strip().lower() for title in head]
    found = {kind: titles.index(name) for kind, names in _COLUMNS.items() for name in names[::-1] if name in titles}
    lines = [
        f"{path}: must have a column {kind!r} named in the first line, got {', '.join(titles)[:100] or 'nothing'}"
        for kind in ("path", "label")
        if kind not in found
    ]
    refuse(lines)
    return found


def _fault(path: Path, row: Sequence[str], columns: Mapping[str, int]) -> str:
    """What is wrong with a row of a CSV file; empty: nothing."""
    if len(row) <= max(columns.values()):
        return f"must have {max(columns.values()) + 1} columns or more, got {len(row)}"
    name, label = row[columns["path"]].strip(), row[columns["label"]].strip()
    if not name or not label:
        return "must have a path and a label, got an empty one"
    if "split" in columns and row[columns["split"]].strip().lower() not in _PART_NAMES:
        word = row[columns["split"]].strip()
        return f"must be of the split {', '.join(PARTS)}, got {word!r}; {suggest(word, _PART_NAMES)}"
    if "\0" in name or not (path.parent / name).resolve().is_relative_to(path.parent.resolve()):
        return f"must name a file below {path.parent}, got {name!r}"
    return "" if _is_file(path.parent / name) else f"must name a file, got {name!r}, which is not there"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the system allows
        return False


def _codes(words: Sequence[str], known: Sequence[str]) -> Labels:
    """The place of each word among the known ones."""
    places = {word: place for place, word in enumerate(known)}
    return np.array([places[word] for word in words], dtype=np.int64)


def _natural(word: str) -> tuple[bool, int, str]:
    """Numbers by their value and before words; words by their letters."""
    return (False, int(word), word) if word.isdecimal() and len(word) < 10 else (True, 0, word)
