"""Where shipped data lies: search spaces, experiments, tables; in a wheel, an editable install and a checkout alike."""

from pathlib import Path
from typing import Literal

from nasdrop.errors import ConfigError, DataError, InputError, SpaceError, suggest

Kind = Literal["search_spaces", "experiments", "tables"]

_PACKAGE = Path(__file__).parent
_ERRORS: dict[Kind, type[InputError]] = {"search_spaces": SpaceError, "experiments": ConfigError, "tables": DataError}
_ENDINGS: dict[Kind, str] = {"search_spaces": ".toml", "experiments": ".toml", "tables": ".npz"}


def folder(kind: Kind) -> Path:
    """The folder of shipped files: the package's own data, else the one beside the package."""
    shipped = _PACKAGE / "_data" / kind
    return shipped if shipped.is_dir() else _PACKAGE.parent / kind


def names(kind: Kind) -> list[str]:
    """Names of the shipped files, without their ending."""
    return sorted(path.stem for path in folder(kind).glob(f"*{_ENDINGS[kind]}"))


def find(kind: Kind, name_or_path: str) -> Path:
    """The file of a shipped name, or of a path that the user wrote.

    A path that exists wins; a path that does not exist is looked up by its name among the shipped files, so that
    `experiments/digits.toml` works from any folder.

    Raises:
        SpaceError: no search space of that name or path exists.
        ConfigError: likewise for an experiment.
        DataError: likewise for a table.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    shipped = folder(kind) / f"{path.stem}{_ENDINGS[kind]}"
    written_plainly = name_or_path == path.stem or path.parent.name == kind
    if written_plainly and shipped.is_file():
        return shipped
    noun = kind.replace("_", " ").removesuffix("s")
    raise _ERRORS[kind](f"{name_or_path}: no such {noun}; {suggest(path.stem, names(kind))}")
