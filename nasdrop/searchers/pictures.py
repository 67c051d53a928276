"""What TensorBoard shows of a training beside its curves: its cell, its edges over time, and what it was made with."""

from collections.abc import Mapping, Sequence

from nasdrop import config
from nasdrop.drop.paths import PathDrop
from nasdrop.settings import Experiment
from nasdrop.space import Genotype, SearchSpace
from nasdrop.train.rates import drop_means
from nasdrop.train.record import Recorder
from nasdrop.view.cell_png import cell_png
from nasdrop.view.heat import HeatMap, heat_png

METRICS = ("valid/accuracy", "train/accuracy", "drop/realised/mean", "train/images_per_second")
_SHOWN = ("network.", "drop.", "train.")
_ALWAYS = {
    *("space", "seed", "data.name", "drop.p", "drop.policy", "drop.schedule", "drop.mode"),
    *("network.channels", "network.num_cells"),
    *("train.epochs", "train.batch_size", "train.learning_rate", "train.weight_decay"),
}
_DOTS_PER_INCH = 110


def picture_cell(recorder: Recorder, genotype: Genotype, step: int = 0) -> None:
    """Show a cell as a picture."""
    recorder.image("cell", cell_png(genotype, dots_per_inch=_DOTS_PER_INCH), step)


def picture_rates(
    recorder: Recorder, realised: Sequence[Mapping[str, float]], path_drop: PathDrop | None, step: int
) -> None:
    """Show the realised drop rates as a heat map of edges x epochs; nothing where nothing was counted.

    Args:
        recorder: of the training.
        realised: of each epoch, by path.
        path_drop: whose paths they are.
        step: the last epoch.
    """
    if heat := edges_over_epochs([drop_means(rates, path_drop) for rates in realised]):
        recorder.image("drop/edges_over_epochs", heat_png(heat), step)


def edges_over_epochs(means: Sequence[Mapping[str, float]]) -> HeatMap | None:
    """The heat map of realised rates, a row an edge of a kind of cell; None where no edge was counted."""
    places = sorted({name for epoch in means for name in epoch if "/" in name and not name.startswith("operation/")})
    if not places:
        return None
    rows = {place.replace("_", " "): [epoch.get(place, float("nan")) for epoch in means] for place in places}
    return HeatMap("Realised drop rate of each edge", rows, y_label="share of samples for which it was dropped")


def tell_settings(
    recorder: Recorder, experiment: Experiment, space: SearchSpace, genotype: Genotype | None, *, drop: bool = True
) -> None:
    """Say what a training was made with, under the names of the experiment file; a cell by its decisions.

    Told are the settings that one looks for first, and those that are not at their defaults; of a training without
    drop path its rate, which is 0.
    """
    changed = config.changed(experiment)
    settings = {
        key: value if isinstance(value, str | int | float | bool) else str(value)
        for key, value in config.flatten(experiment).items()
        if key in _ALWAYS or (key in changed and key.startswith(_SHOWN))
    }
    settings |= {} if drop else {"drop.p": 0.0}
    decisions = space.encode(genotype) if genotype else {}
    recorder.hparams(settings | {f"genotype.{name}": choice for name, choice in decisions.items()}, METRICS)
