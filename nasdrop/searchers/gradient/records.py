"""How a search by gradient goes into the records: numbers every epoch, the cell as a picture where it changes."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from nasdrop.drop import PathDrop
from nasdrop.searchers.gradient.mixture import Columns
from nasdrop.searchers.gradient.part import Part
from nasdrop.searchers.gradient.report import SearchEpoch
from nasdrop.searchers.pictures import picture_cell, picture_rates, tell_settings
from nasdrop.searchers.training import Training
from nasdrop.space import Genotype
from nasdrop.train import Recorder
from nasdrop.train.rates import drop_charts, drop_values
from nasdrop.train.record import Layout

_HEAT_MAPS = 10  # of one search

CHARTS: Layout = {
    "Search": {
        "loss": ["Multiline", ["search/weights_loss", "search/alphas_loss"]],
        "accuracy": ["Multiline", ["search/train_accuracy", "valid/accuracy"]],
        "entropy of the mixtures": ["Multiline", ["search/entropy/.*"]],
        "share of skip connections": ["Multiline", ["search/skip_share/.*"]],
        "skip connections in the cell": ["Multiline", ["search/skips/.*"]],
        "learning rate": ["Multiline", ["search/learning_rate"]],
        "images a second": ["Multiline", ["search/images_per_second"]],
        "most memory, in MiB": ["Multiline", ["search/memory_mib"]],
    },
}


def begin(recorder: Recorder, part: Part, training: Training) -> None:
    """What is said once: how the charts are arranged, and what the search was made with."""
    strategy = part.strategy
    recorder.layout(charts(part.supernet.path_drop, strategy.columns, learns=strategy.has_alphas))
    tell_settings(recorder, training.experiment, training.space, None)


def record(recorder: Recorder, history: Sequence[SearchEpoch], part: Part) -> None:
    """Write the latest epoch down; the cell as a picture where it changed, the edges over time now and then."""
    report, path_drop = history[-1], part.supernet.path_drop
    shares = part.shares() if part.strategy.has_alphas else {}
    record_epoch(recorder, report, path_drop, shares, part.strategy.columns)
    if report.changes or report.epoch == 0:
        picture_cell(recorder, Genotype.from_json(report.genotype), report.epoch)
    if (report.epoch + 1) % max(1, report.epochs // _HEAT_MAPS) == 0 or report.epoch + 1 == report.epochs:
        stage = [known.realised for known in history if known.stage == report.stage]
        picture_rates(recorder, stage, path_drop, report.epoch)


def charts(path_drop: PathDrop, columns: Columns, *, learns: bool) -> Layout:
    """How TensorBoard arranges a search's records; where alphas learn, a chart an edge of their shares."""
    layout: dict[str, Mapping[str, Any]] = {**CHARTS, **drop_charts(path_drop)}
    for kind, ends in columns.ends.items() if learns else ():
        layout[f"Shares of the operations: {kind}"] = {
            f"edge {edge:02d}: {source} to {target}": ["Multiline", [f"alpha/{kind}/edge_{edge:02d}/.*"]]
            for edge, (source, target) in enumerate(ends)
        }
    return layout


def record_epoch(
    recorder: Recorder, report: SearchEpoch, path_drop: PathDrop, shares: Mapping[str, Tensor], columns: Columns
) -> None:
    """Write an epoch into the records: drop rates as means over the cells, shares of the available operations.

    Args:
        recorder: takes them.
        report: of the epoch.
        path_drop: the supernet's.
        shares: by cell kind (E, O), what the alphas make of the operations; empty where there are no alphas.
        columns: names and availability of the operations.
    """
    values = {
        "search/weights_loss": report.weights_loss,
        "search/train_accuracy": report.train_accuracy,
        "search/alphas_loss": report.alphas_loss,
        "search/genotype_changes": report.changes,
        "search/moved": report.moved,
        "search/gradient_norm/weights": report.weights_norm,
        "search/gradient_norm/alphas": report.alphas_norm,
        "search/eigenvalue": report.eigenvalue,
        "search/learning_rate": report.learning_rate,
        "search/seconds": report.seconds,
        "search/images_per_second": report.images_per_second,
        "search/memory_mib": report.memory_mib,
        "search/stage": report.stage,
        "valid/accuracy": report.accuracy,
        "valid/loss": report.valid.loss if report.valid else None,
        "drop/planned/skip_elements": report.skip_elements,
    }
    for name in ("entropy", "skip_share", "skips"):
        values |= {f"search/{name}/{kind}": value for kind, value in getattr(report, name).items()}
    values |= drop_values({**vars(report), "drawn": {}}, path_drop) | share_values(shares, columns)
    recorder.scalars({tag: value for tag, value in values.items() if value is not None}, report.epoch)


def share_values(shares: Mapping[str, Tensor], columns: Columns) -> dict[str, float]:
    """Each available operation's share of its edge, as `alpha/normal/edge_07/sep_conv_3x3`."""
    return {
        f"alpha/{kind}/edge_{edge:02d}/{operation}": share
        for kind, rows in shares.items()
        for edge, (row, free) in enumerate(zip(rows.tolist(), columns.available[kind].tolist(), strict=True))
        for operation, share, there in zip(columns.operations[kind], row, free, strict=True)
        if there
    }
