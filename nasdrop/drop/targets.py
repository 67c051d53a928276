"""What a schedule can drive in a model: our PathDrop and modules with p, and foreign modules with `drop_prob` or `p`.

Foreign modules are known by their attributes (timm's DropPath has drop_prob; torchvision's StochasticDepth has p and
mode; torch's dropouts have p), so that none of those packages is imported.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from nasdrop.drop.branch import StochasticDepth
from nasdrop.drop.functional import MODES
from nasdrop.drop.masks import check_rate
from nasdrop.drop.modules import Drop, DropPath
from nasdrop.drop.paths import PathDrop
from nasdrop.drop.schedule import Schedule
from nasdrop.errors import DropError, suggest

Select = Literal["auto", "all", "paths", "elements"] | Callable[[str, nn.Module], bool]

_TORCH_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


@dataclass(frozen=True)
class PathTarget:
    """A PathDrop, with a rate for each of its paths."""

    name: str
    module: PathDrop

    def rates(self, schedule: Schedule, progress: float) -> list[float]:
        """The schedule's rate of each path, before the policy."""
        cells = max((path.cell + 1 for path in self.module.paths), default=1)
        return [schedule.rate(progress, path.depth, cells=cells) for path in self.module.paths]

    def set(self, schedule: Schedule, progress: float) -> None:
        """Set the rates."""
        self.module.set_rates(self.rates(schedule, progress))

    def planned(self, schedule: Schedule, progress: float) -> list[float]:
        """1 - P(live) of each path: what the policy makes of the rates."""
        rates = torch.tensor(self.rates(schedule, progress), device=self.module.rates.device)
        planned: list[float] = (1.0 - self.module.live(rates)).clamp(0.0, 1.0).tolist()
        return planned

    def silent(self, schedule: Schedule, progress: float) -> float:
        """Expected number of nodes a sample that lose all their inputs."""
        return self.module.silent(torch.tensor(self.rates(schedule, progress)))

    def labels(self, *, qualified: bool) -> list[str]:
        """Names of the paths, with the module's name in front where a model has several."""
        return [f"{self.name}.{path.name}" if qualified else path.name for path in self.module.paths]


@dataclass(frozen=True)
class ModuleTarget:
    """One module with one rate."""

    name: str
    module: nn.Module
    attribute: str
    depth: float = 1.0
    depths: int = 1

    def rate(self, schedule: Schedule, progress: float) -> float:
        """The schedule's rate at this module's depth."""
        return schedule.rate(progress, self.depth, cells=self.depths)

    def set(self, schedule: Schedule, progress: float) -> None:
        """Set the attribute; in place where it is a tensor, so that compiled and captured graphs see it."""
        rate = self.rate(schedule, progress)
        held = getattr(self.module, self.attribute)
        if isinstance(held, Tensor) and not isinstance(self.module, Drop):
            held.fill_(rate)
        else:
            setattr(self.module, self.attribute, rate)


@dataclass(frozen=True)
class Targets:
    """What was found and chosen in a model, and what was found and left alone."""

    paths: tuple[PathTarget, ...]
    modules: tuple[ModuleTarget, ...]
    left_alone: tuple[str, ...]


def find_targets(model: nn.Module, select: Select = "auto") -> Targets:
    """Find what a schedule can drive.

    Args:
        model: Any module.
        select: "paths" takes drop path in every form (PathDrop, DropPath, StochasticDepth), "elements" the dropouts of
            elements and channels, "all" both; "auto" takes paths, or elements in a model without paths: a classifier's
            dropout does not follow a drop-path schedule. A function of (name, module) decides for itself.

    Raises:
        DropError: `select` is an unknown name.
    """
    if isinstance(select, str) and select not in _SELECTIONS:
        raise DropError(f"DropScheduler: no selection {select!r}; {suggest(select, _SELECTIONS)}")
    found = [(name, module, kind) for name, module in model.named_modules() if (kind := _kind(module))]
    if select == "auto":
        select = "paths" if any(kind != "p:element" for _, _, kind in found) else "elements"
    chosen = [entry for entry in found if _is_chosen(entry, select)]
    left_alone = tuple(name for name, _, _ in (entry for entry in found if entry not in chosen))
    paths = tuple(PathTarget(name, module) for name, module, _ in chosen if isinstance(module, PathDrop))
    singles = [(name, module, kind.partition(":")[0]) for name, module, kind in chosen if kind != "paths"]
    return Targets(paths, tuple(_with_depths(singles)), left_alone)


_SELECTIONS = ("auto", "all", "paths", "elements")


def _kind(module: nn.Module) -> str:
    """Return "paths", or the attribute to set and what it drops, or "" for a module that drops nothing."""
    if isinstance(module, PathDrop):
        return "paths"
    if isinstance(module, Drop):
        return "p:path" if isinstance(module, DropPath | StochasticDepth) else "p:element"
    if isinstance(module, _TORCH_DROPOUTS):
        return "p:element"
    if _is_rate(getattr(module, "drop_prob", None)) or ("drop_prob" in vars(module) and module.drop_prob is None):
        return "drop_prob:path"
    if _is_rate(getattr(module, "p", None)):
        if getattr(module, "mode", None) in MODES:
            return "p:path"
        return "p:element" if "drop" in type(module).__name__.lower() else ""
    return ""


def _is_rate(value: object) -> bool:
    try:
        check_rate("", value)
    except DropError:
        return False
    return value is not None and not isinstance(value, bool)


def _is_chosen(entry: tuple[str, nn.Module, str], select: Select) -> bool:
    name, module, kind = entry
    if callable(select):
        return select(name, module)
    return select == "all" or (kind == "p:element") == (select == "elements")


def _with_depths(singles: list[tuple[str, nn.Module, str]]) -> list[ModuleTarget]:
    """Give each module its depth (i + 1) / n in the order of the model; the modules of one block are at one depth."""
    blocks: dict[str, int] = {}
    places = [blocks.setdefault(_block(name), len(blocks)) for name, _, _ in singles]
    return [
        ModuleTarget(name, module, attribute, (place + 1) / len(blocks), len(blocks))
        for (name, module, attribute), place in zip(singles, places, strict=True)
    ]


def _block(name: str) -> str:
    """`blocks.3.drop_path1` belongs to the block `blocks.3`; an entry of a Sequential or of the model stands alone."""
    parent, _, own = name.rpartition(".")
    return name if own.isdigit() or not parent else parent
