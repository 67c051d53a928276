"""A whole experiment file: data, network, drop path, training, one kind of search, and what follows it."""

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from nasdrop.beside import wrong_beside
from nasdrop.settings.base import Settings, obeying
from nasdrop.settings.data import DataSettings
from nasdrop.settings.gradient import (
    DartsSettings,
    DrnasSettings,
    DropNasSettings,
    FairDartsSettings,
    GdasSettings,
    OneShotSettings,
    PcDartsSettings,
    PDartsSettings,
)
from nasdrop.settings.network import DropSettings, NetworkSettings
from nasdrop.settings.study import StudySettings
from nasdrop.settings.training import TrainSettings


class CellSettings(Settings):
    """No search: a cell that is known is trained (`nasdrop train`)."""

    kind: Literal["cell"]
    genotype: str = Field(description="a published name, or a text of a genotype")


def search_kind(search: object) -> str:
    """The tag of the settings that a `[search]` table is of: "study", "cell", or a strategy's name.

    Args:
        search: a table as it was read, or settings.
    """
    table = search if isinstance(search, dict) else vars(search) if isinstance(search, Settings) else {}
    if table.get("kind", "study") != "gradient":
        return str(table.get("kind", "study"))
    return str(table.get("strategy", "darts"))


Search = Annotated[
    Annotated[StudySettings, Tag("study")]
    | Annotated[CellSettings, Tag("cell")]
    | Annotated[DartsSettings, Tag("darts")]
    | Annotated[GdasSettings, Tag("gdas")]
    | Annotated[PcDartsSettings, Tag("pc_darts")]
    | Annotated[DrnasSettings, Tag("drnas")]
    | Annotated[PDartsSettings, Tag("p_darts")]
    | Annotated[DropNasSettings, Tag("drop_nas")]
    | Annotated[FairDartsSettings, Tag("fair_darts")]
    | Annotated[OneShotSettings, Tag("one_shot")],
    Discriminator(search_kind),
]


class FinalSettings(Settings):
    """After the search: the best cell is trained on train + valid and scored once on test, beside baselines."""

    seeds: int = Field(3, ge=0, description="trainings of the best cell, each with its own seed; 0: the search alone")
    random_cells: int = Field(3, ge=0, description="baseline: so many random cells, one training each")
    genotype: str = Field("DARTS_V2", description="baseline: a published cell of the same space; empty: none")
    without_drop: bool = Field(default=True, description="baseline: the best cell trained without drop path")
    drop: DropSettings | None = Field(None, description="drop path of these trainings; left out: that of the search")
    table: str = Field("", description="also look the best cell up in this measured table; empty: do not")
    resnet: bool = Field(default=False, description="baseline: a residual network of as many parameters, once a seed")
    inherit: str = Field(
        "", description="cells start from the supernet of this run folder, not from scratch; empty: from scratch"
    )
    validate_epochs: bool = Field(
        default=False, description="hold the validation split out, and score it after every epoch"
    )


class Experiment(Settings):
    """A whole experiment file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="names the run folder")
    description: str = ""
    seed: int = Field(0, ge=0, lt=2**32)
    space: str = Field("darts", description="a shipped search space (nasdrop spaces) or a path to a TOML file")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    threads: int = Field(0, ge=0, description="CPU threads; 0: all cores")
    workers: int = Field(1, ge=0, description="processes that train side by side; 0: one a GPU, or one a core")
    data: DataSettings = DataSettings()
    network: NetworkSettings = NetworkSettings()
    drop: DropSettings = DropSettings()
    train: TrainSettings = TrainSettings()
    search: Search = StudySettings()
    final: FinalSettings = FinalSettings()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not isinstance(self.search, StudySettings):
            return self
        lines = wrong_beside(self)
        for number, rung in enumerate(self.search.fidelity):
            for key in ("channels", "num_cells"):
                full, size = getattr(self.network, key), getattr(rung, key)
                if size >= full:
                    rule = f"must be below network.{key}, {full}, or left out"
                    lines.append(f"search.fidelity.{number}.{key}: {rule}, got {size}")
                if size and f"network.{key}" in self.search.beside:
                    lines.append(f"search.fidelity.{number}.{key}: must be left out where it is searched, got {size}")
        return obeying(self, lines)
