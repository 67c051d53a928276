"""TOML files and `a.b=value` overrides, merged and validated into a pydantic model; knows no component.

Every mistake of a file is reported at once, one line each, with the file (or override) and the key it stands under.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args, get_origin

import tomli_w
from pydantic import BaseModel, Tag, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from nasdrop.errors import ConfigError, suggest

_MOST_TEXT = 1_000_000  # characters of a file
_DEEPEST = 50  # tables and arrays in each other

Model = TypeVar("Model", bound=BaseModel)
Tree = dict[str, Any]

_PART = re.compile(r'\s*("[^"]+"|[^."]+)\s*(?:\.|$)')  # of a dotted key


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
        with path.open(encoding="utf-8") as file:
            text = file.read(_MOST_TEXT + 1)
        if len(text) > _MOST_TEXT:
            raise ConfigError(f"{path}: must have at most {_MOST_TEXT} characters, got more")
        return _parsed(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: must be UTF-8 text, got byte {error.object[error.start]:#04x}") from None
    except (ValueError, RecursionError) as error:  # tomllib's own is a ValueError; so is a number of 5,000 digits
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise ConfigError(f"{path}: not valid TOML: {reason}") from None


def _parsed(text: str) -> Tree:
    """TOML as a tree that later steps can walk without running out of stack."""
    tree = tomllib.loads(text)
    level: list[Any] = [tree]
    for _ in range(_DEEPEST):
        level = [child for value in level for child in _children(value)]
        if not level:
            return tree
    raise RecursionError


def _children(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def load(model: type[Model], path: Path, overrides: Sequence[str] = ()) -> Model:
    """Validate a file, with overrides laid over it.

    Args:
        model: the pydantic model to fill.
        path: a TOML file.
        overrides: texts such as `train.epochs=5`; the value is read as TOML, else as a number, else as plain text.

    Raises:
        ConfigError: all mistakes of the file and the overrides, one line each.
    """
    return build(model, read_toml(path), str(path), overrides)


def build(model: type[Model], tree: Tree, place: str, overrides: Sequence[str] = ()) -> Model:
    """Validate a tree of plain values, with overrides laid over it; see `load`."""
    parsed = [parse_override(text) for text in overrides]
    for override in parsed:
        _lay(tree, override)
    return validate(model, tree, place, parsed)


def validate(model: type[Model], tree: Tree, place: str, overrides: Sequence[Override] = ()) -> Model:
    """Validate a tree of plain values; `place` names where it came from in error lines."""
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        details = error.errors(include_url=False)
    if _quote_texts(model, tree, details, overrides):  # `name=1` was meant as the text "1"
        return validate(model, tree, place, overrides)
    by_keys = {override.keys: override.text for override in overrides}
    raise ConfigError(*dict.fromkeys(line for detail in details for line in _lines(model, detail, place, by_keys)))


def parse_override(text: str) -> Override:
    """Split `a.b=value`; a key that itself has dots is quoted, as in TOML: `search.beside."drop.p"=[0.0, 0.2]`.

    Raises:
        ConfigError: there is no `=`, or a key is empty.
    """
    key, equals, raw = text.partition("=")
    keys = _split(key)
    if not equals or not all(keys):
        raise ConfigError(f"override: must read key.subkey=value, got {text!r}")
    shown = text if text.isprintable() else repr(text)
    return Override(shown, keys, _read_value(raw.strip()), raw.strip())


def _split(key: str) -> tuple[str, ...]:
    """The parts of a dotted key, of which those in quotes may have dots; one that is empty where it cannot be read."""
    parts: list[str] = []
    place = 0
    while place < len(key) and (found := _PART.match(key, place)):
        parts.append(found[1].strip().strip('"'))
        place = found.end()
    return tuple(parts) if parts and place == len(key) and not key.endswith(".") else ("",)


def dump(settings: BaseModel) -> str:
    """The settings as TOML text, every default written out."""
    return tomli_w.dumps(settings.model_dump(mode="json", exclude_none=True))


def placed(settings: Model, values: Mapping[str, Any]) -> Model:
    """The settings with other values under some dotted keys.

    Raises:
        ValidationError: a value breaks a rule of its setting.
        KeyError: there is no such table.
    """
    tree = settings.model_dump()
    for path, value in values.items():
        *parents, last = path.split(".")
        reduce(getitem, parents, tree)[last] = value
    return type(settings).model_validate(tree)


def flatten(settings: BaseModel) -> dict[str, Any]:
    """`{"train.epochs": 20, ...}`: every setting under its dotted key."""
    return dict(_leaves(settings.model_dump(mode="json"), ""))


def changed(settings: BaseModel) -> dict[str, Any]:
    """The settings that are not at their defaults, under their dotted keys."""
    return dict(_leaves(settings.model_dump(mode="json", exclude_defaults=True), ""))


def _leaves(tree: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for key, value in tree.items():
        leaves += _leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(prefix + key, value)]
    return leaves


def _read_value(raw: str) -> Any:
    try:
        return _parsed(f"value = {raw}")["value"]
    except (ValueError, RecursionError):
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
    if isinstance(tree.get(last), dict) and not isinstance(override.value, dict):
        raise ConfigError(f"override {override.text}: {last!r} is a table; set one of its keys")
    tree[last] = override.value


def _quote_texts(
    model: type[BaseModel], tree: Tree, details: Sequence[ErrorDetails], overrides: Sequence[Override]
) -> bool:
    """Replace overridden values that should have been texts by their raw text; true if any was."""
    raw = {override.keys: override.raw for override in overrides}
    changed = False
    for detail in details:
        keys, _ = _locate(model, detail["loc"])
        if detail["type"] == "string_type" and keys in raw and not isinstance(detail["input"], str):
            parent = tree
            for key in keys[:-1]:
                parent = parent[key]
            parent[keys[-1]] = raw[keys]
            changed = True
    return changed


def _lines(
    model: type[BaseModel], detail: ErrorDetails, place: str, overrides: Mapping[tuple[str, ...], str]
) -> list[str]:
    keys, table = _locate(model, detail["loc"])
    if detail["type"] == "value_error":  # a model's own rule: a line a mistake, each begins with its key and a colon
        rules = [line.partition(": ")[::2] for line in str(detail["ctx"]["error"]).splitlines()]
        return [f"{_where((*keys, *key.split('.')), place, overrides)}: {rule}" for key, rule in rules]
    return [_line(detail, keys, table, _where(keys, place, overrides))]


def _where(keys: tuple[str, ...], place: str, overrides: Mapping[tuple[str, ...], str]) -> str:
    dotted = ".".join(keys)
    given = (text for above, text in overrides.items() if f"{dotted}.".startswith(f"{'.'.join(above)}."))
    return next((f"override {text}" for text in given), f"{place}: {_one_line(dotted)}" if keys else place)


def _one_line(key: str) -> str:
    """A key with its line breaks and the like written out."""
    return key if key.isprintable() else repr(key)[1:-1]


def _line(detail: ErrorDetails, keys: tuple[str, ...], table: type[BaseModel] | None, where: str) -> str:
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown key; {suggest(keys[-1], table.model_fields if table else ())}"
    if detail["type"] == "missing":
        return f"{where}: is required"
    if detail["type"] == "model_type":
        return f"{where}: must be a table, got {detail['input']!r}"
    if detail["type"] == "union_tag_invalid":
        tag = detail["ctx"]["tag"]
        return f"{where}: no kind of table is called {tag!r}; {suggest(tag, _choices(detail, 'expected_tags'))}"
    rule = detail["msg"].replace("Input should be", "must be").replace("String should", "must")
    if detail["type"] == "literal_error":
        return (
            f"{where}: {rule}, got {detail['input']!r}; {suggest(str(detail['input']), _choices(detail, 'expected'))}"
        )
    return f"{where}: {rule}, got {detail['input']!r}"


def _choices(detail: ErrorDetails, key: str) -> list[str]:
    expected = detail.get("ctx", {}).get(key, "")
    return [part.strip("' ") for part in expected.replace(" or ", ", ").split(",")]


def _locate(model: type[BaseModel], place: Sequence[int | str]) -> tuple[tuple[str, ...], type[BaseModel] | None]:
    """The keys of a place as a user wrote them, without the tags of unions, and the table that holds the last one."""
    keys: list[str] = []
    table: type[BaseModel] | None = model
    inside: Mapping[str, type[BaseModel]] = {"": model}
    field: FieldInfo | None = None
    freely_keyed = False
    for part in map(str, place):
        if part and part in inside:  # a lone table has no tag, and a key may be empty
            inside = {"": inside[part]}
            continue
        if field is not None and not inside and not freely_keyed and not part.isdigit():
            continue  # which member of a union of plain values it was held against
        table = inside.get("")
        keys.append(part)
        if freely_keyed:  # any key of a table that has no model of its own
            freely_keyed = False
            continue
        field = table.model_fields.get(part) if table else None
        freely_keyed = field is not None and get_origin(field.annotation) is dict
        if not part.isdigit():  # the place in a list
            inside = _tables(field.annotation) if field else {}
    return tuple(keys), table


def _tables(annotation: Any) -> dict[str, type[BaseModel]]:
    """The tables that a field may hold, by tag; a lone one has the tag ""."""
    kinds = (annotation, *get_args(annotation))
    notes = [(kind, data) for kind in kinds for data in getattr(kind, "__metadata__", ())]
    tagged = {data.tag: kind.__origin__ for kind, data in notes if isinstance(data, Tag)}
    return tagged or dict([("", kind) for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)][:1])
