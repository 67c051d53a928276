"""Drop rates of single paths as the few means that a chart has room for, and how TensorBoard lays those out."""

from collections.abc import Mapping

from nasdrop.drop.paths import PathDrop
from nasdrop.train.record import Layout


def drop_means(rates: Mapping[str, float], path_drop: PathDrop | None) -> dict[str, float]:
    """Mean rates over the paths that can drop; other modules by their own names.

    Args:
        rates: by path or module, planned or realised.
        path_drop: whose paths they are; None: all are modules.

    Returns:
        `mean` over all paths; `cell_03`, over the paths of a cell; `normal/edge_07`, over the cells of a kind; and
        where candidate operations drop for all cells of a kind at once, `operation/sep_conv_3x3` in the place of cells.
    """
    groups: dict[str, list[float]] = {}
    rest = dict(rates)
    for path, droppable in zip(path_drop.paths, path_drop.droppable, strict=True) if path_drop else ():
        rate = rest.pop(path.name, None)
        if rate is None or not droppable:
            continue
        whole = f"cell_{path.cell:02d}" if path.edge is None else f"operation/{path.operation}"
        for name in ("mean", whole, *([path.place] if path.place else [])):
            groups.setdefault(name, []).append(rate)
    return {name: sum(members) / len(members) for name, members in sorted(groups.items())} | rest


def live_inputs(realised: Mapping[str, float], path_drop: PathDrop | None) -> dict[str, float]:
    """Mean number of live inputs of each fractal join, draws that run one column included."""
    joins: dict[str, float] = {}
    for path in path_drop.paths if path_drop else ():
        if path.column is not None and path.name in realised:
            name = f"join_{path.node:02d}"
            joins[name] = joins.get(name, 0.0) + 1.0 - realised[path.name]
    return joins


def drop_values(counts: Mapping[str, Mapping[str, float]], path_drop: PathDrop | None) -> dict[str, float]:
    """What is recorded of an epoch's drop path, by tag; `counts` as `StepDraws.counts` gives them."""
    values = {f"drop/silent/{name}": nodes for name, nodes in counts["silent"].items()}
    for kind in ("planned", "realised"):
        values |= {f"drop/{kind}/{name}": rate for name, rate in drop_means(counts[kind], path_drop).items()}
    values |= {f"fractal/drawn/{name.replace(' ', '_')}": share for name, share in counts["drawn"].items()}
    live = live_inputs(counts["realised"], path_drop)
    return values | {f"fractal/live_inputs/{name}": number for name, number in live.items()}


def drop_charts(path_drop: PathDrop | None) -> dict[str, dict[str, list[object]]]:
    """How TensorBoard's custom scalars arrange those values: the network, its cells, then a chart an edge."""
    charts: dict[str, dict[str, list[object]]] = {
        "Drop schedule": {
            "planned and realised, whole network": _lines("drop/planned/mean", "drop/realised/mean"),
            "planned drop probability a cell": _lines("drop/planned/cell_.*"),
            "realised share of dropped paths a cell": _lines("drop/realised/cell_.*"),
            "silent nodes a sample, expected and realised": _lines("drop/silent/expected", "drop/silent/realised"),
        }
    }
    if path_drop is None:
        return charts
    chosen = [path for path, droppable in zip(path_drop.paths, path_drop.droppable, strict=True) if droppable]
    if any(path.edge is not None for path in chosen):
        charts["Drop schedule"] |= {
            "planned drop probability an operation": _lines("drop/planned/operation/.*"),
            "realised share of drops an operation": _lines("drop/realised/operation/.*"),
        }
    for place in sorted({path.place for path in chosen if path.place}):
        kind, _, edge = place.partition("/")
        rows = charts.setdefault(f"Drop rate an edge: {kind}", {})
        rows[edge.replace("_", " ")] = _lines(f"drop/planned/{place}", f"drop/realised/{place}")
    return charts


def fractal_charts(path_drop: PathDrop | None) -> Layout:
    """The charts that only a network of columns has."""
    if not path_drop or not path_drop.num_columns:
        return {}
    return {
        "Fractal": {
            "accuracy of each column alone": _lines("valid/accuracy", "valid/column_.*"),
            "share of draws that run the columns": _lines("fractal/drawn/.*"),
            "live inputs of each join": _lines("fractal/live_inputs/.*"),
        }
    }


def _lines(*tags: str) -> list[object]:
    return ["Multiline", list(tags)]
