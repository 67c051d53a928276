"""TOML files and `a.b=value` overrides, merged and validated into a pydantic model; knows no component.

Every mistake of a file is reported at once, one line each, with the file (or override) and the key it stands under.
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast, get_args

import tomli_w
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from nasdrop.errors import ConfigError, suggest

Model = TypeVar("Model", bound=BaseModel)
Tree = dict[str, Any]


class Override(NamedTuple):
    """One `a.b=value` from the command line."""

    text: str
    keys: tuple[str, ...]
    value: Any
    raw: str


def read_toml(path: Path) -> Tree:
    """Read a TOML file.

    Raises:
        ConfigError: the file is missing, not UTF-8, or not TOML (with line and column).
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: must be UTF-8 text, got byte {error.object[error.start]:#04x}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {str(error) or 'nested too deeply'}") from None


def load(model: type[Model], path: Path, overrides: Sequence[str] = ()) -> Model:
    """Validate a file, with overrides laid over it.

    Args:
        model: the pydantic model to fill.
        path: a TOML file.
        overrides: texts such as `train.epochs=5`; the value is read as TOML, else as a number, else as plain text.

    Raises:
        ConfigError: all mistakes of the file and the overrides, one line each.
    """
    tree = read_toml(path)
    parsed = [parse_override(text) for text in overrides]
    for override in parsed:
        _lay(tree, override)
    return validate(model, tree, str(path), parsed)


def validate(model: type[Model], tree: Tree, place: str, overrides: Sequence[Override] = ()) -> Model:
    """Validate a tree of plain values; `place` names where it came from in error lines."""
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        details = error.errors(include_url=False)
    if _quote_texts(tree, details, overrides):  # `name=1` was meant as the text "1"
        return validate(model, tree, place, overrides)
    by_keys = {override.keys: override.text for override in overrides}
    raise ConfigError(*dict.fromkeys(_line(model, detail, place, by_keys) for detail in details))


def parse_override(text: str) -> Override:
    """Split `a.b=value`.

    Raises:
        ConfigError: there is no `=`, or a key is empty.
    """
    key, equals, raw = text.partition("=")
    keys = tuple(part.strip() for part in key.split("."))
    if not equals or not all(keys):
        raise ConfigError(f"override: must read key.subkey=value, got {text!r}")
    return Override(text, keys, _read_value(raw.strip()), raw.strip())


def dump(settings: BaseModel) -> str:
    """The settings as TOML text, every default written out."""
    return tomli_w.dumps(settings.model_dump(mode="json"))


def flatten(settings: BaseModel) -> dict[str, Any]:
    """`{"train.epochs": 20, ...}`: every setting under its dotted key."""
    return dict(_leaves(settings.model_dump(mode="json"), ""))


def _leaves(tree: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for key, value in tree.items():
        leaves += _leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(prefix + key, value)]
    return leaves


def _read_value(raw: str) -> Any:
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        pass
    for number in (int, float):  # `.3` is a number to everybody but TOML
        try:
            return number(raw)
        except ValueError:
            continue
    return raw


def _lay(tree: Tree, override: Override) -> None:
    *parents, last = override.keys
    for key in parents:
        below = tree.setdefault(key, {})
        if not isinstance(below, dict):
            raise ConfigError(f"override {override.text}: {key!r} holds a value, not a table")
        tree = below
    if isinstance(tree.get(last), dict):
        raise ConfigError(f"override {override.text}: {last!r} is a table; set one of its keys")
    tree[last] = override.value


def _quote_texts(tree: Tree, details: Sequence[ErrorDetails], overrides: Sequence[Override]) -> bool:
    """Replace overridden values that should have been texts by their raw text; true if any was."""
    raw = {override.keys: override.raw for override in overrides}
    changed = False
    for detail in details:
        keys = tuple(str(part) for part in detail["loc"])
        if detail["type"] == "string_type" and keys in raw and not isinstance(detail["input"], str):
            parent = tree
            for key in keys[:-1]:
                parent = parent[key]
            parent[keys[-1]] = raw[keys]
            changed = True
    return changed


def _line(model: type[BaseModel], detail: ErrorDetails, place: str, overrides: Mapping[tuple[str, ...], str]) -> str:
    keys = tuple(str(part) for part in detail["loc"])
    where = next(
        (f"override {text}" for keys_given, text in overrides.items() if keys[: len(keys_given)] == keys_given),
        f"{place}: {'.'.join(keys)}" if keys else place,
    )
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown key; {suggest(keys[-1], _known_keys(model, keys[:-1]))}"
    if detail["type"] == "missing":
        return f"{where}: is required"
    if detail["type"] == "model_type":
        return f"{where}: must be a table, got {detail['input']!r}"
    rule = detail["msg"].replace("Input should be", "must be").replace("String should", "must")
    if detail["type"] == "literal_error":
        return f"{where}: {rule}, got {detail['input']!r}; {suggest(str(detail['input']), _choices(detail))}"
    return f"{where}: {rule}, got {detail['input']!r}"


def _choices(detail: ErrorDetails) -> list[str]:
    expected = detail.get("ctx", {}).get("expected", "")
    return [part.strip("' ") for part in expected.replace(" or ", ", ").split(",")]


def _known_keys(model: type[BaseModel], keys: Sequence[str]) -> list[str]:
    for key in keys:
        if key.isdigit():  # the place in a list
            continue
        field = model.model_fields.get(key)
        nested = [kind for kind in (field.annotation, *get_args(field.annotation)) if _is_model(kind)] if field else []
        if not nested:
            return []
        model = cast("type[BaseModel]", nested[0])
    return list(model.model_fields)


def _is_model(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
