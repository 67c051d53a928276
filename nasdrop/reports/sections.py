"""The sections of a report on one run: the cell, drop path, the search, results, how to do it again."""

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from nasdrop.reports.facts import Records, RunFacts
from nasdrop.searchers.pictures import edges_over_epochs
from nasdrop.searchers.result import SearchResult
from nasdrop.searchers.study_events import front_chart
from nasdrop.space.fractal import BLOCK
from nasdrop.view import units
from nasdrop.view.cell_svg import genotype_svg
from nasdrop.view.cell_text import genotype_equations
from nasdrop.view.chart import Chart, Series, learning_curves
from nasdrop.view.chart_svg import chart_svg
from nasdrop.view.heat import heat_svg
from nasdrop.view.page import Bar, Block, Facts, Listing, Note, Picture, Section, Table

_BEST = 10
_MOST_CURVES = 6
_MOST_IMPORTANT = 12
_SIZE = {"width": 620.0, "height": 320.0}


def cell_section(run: RunFacts) -> Section:
    """The best cell, its lines dashed by what they drop at the end of its training."""
    genotype = run.genotype
    if genotype is None:
        return Section("Best cell", [Note("No cell has been found yet.")])
    rates = last_rates(run.trainings.get(run.main, []))
    kinds = {cell.name for cell in genotype.cells}
    shown = rates if rates and kinds >= rates.keys() and BLOCK not in kinds else None
    words = f"Lines are dashed by the planned drop rate in the last epoch of {run.told(run.main)}." if shown else ""
    blocks: list[Block] = [Picture(genotype_svg(genotype, rates=shown), words)]
    if genotype.options:
        blocks.append(Facts(list(genotype.options)))
    blocks.append(Listing(genotype_equations(genotype, width=110), "the cell as sums"))
    blocks.append(Listing(genotype.to_text("json"), "the cell as JSON, which every nasdrop command reads"))
    return Section("Best cell", blocks)


def last_rates(records: Records) -> dict[str, dict[int, float]]:
    """Planned drop rates of the last epoch by kind of cell and number of the edge."""
    rates: dict[str, dict[int, float]] = {}
    for tag, value in (records[-1] if records else {}).items():
        kind, _, edge = tag.removeprefix("drop/planned/").partition("/edge_")
        if tag.startswith("drop/planned/") and edge.isdecimal():
            rates.setdefault(kind, {})[int(edge)] = value
    return rates


def drop_section(run: RunFacts) -> Section:
    """Drop path as it was planned and as it was counted, in the search and in the training of the best cell."""
    labels = [label for label in ("search", run.main) if _drops(run.trainings.get(label, []))]
    blocks: list[Block] = [Facts([("policy and schedule", run.drop), *_drop_facts(run)])]
    for label in dict.fromkeys(labels):
        blocks += [
            Picture(picture, f"{run.told(label)}: {words}") for picture, words in _drop_pictures(run.trainings[label])
        ]
    if not labels:
        blocks.append(Note("Nothing was dropped in a recorded training."))
    return Section("Drop path, planned and realised", blocks)


def _drops(records: Records) -> bool:
    return any("drop/realised/mean" in line for line in records)


def _drop_facts(run: RunFacts) -> Iterator[tuple[str, object]]:
    drop = run.experiment.drop
    yield "decided", "a sample" if drop.mode == "row" else "a batch"
    yield "identity edges", "never drop" if drop.exempt_identity else "drop like others"
    if drop.survivors != "none":
        yield "survivors", f"{drop.survivors}, at least {drop.at_least} inputs a node"
    if final := run.experiment.final.drop:
        yield "in trainings for good", f"{final.policy}, {final.schedule} to p = {final.p:g}"


def _drop_pictures(records: Records) -> Iterator[tuple[str, str]]:
    """Charts of one training, each with what it shows."""
    whole = {"drop/planned/mean": "planned", "drop/realised/mean": "realised, counted"}
    yield _curves(records, whole, "Drop rate of the whole network", "p"), "mean over the paths that can drop"
    cells = sorted(tag for tag in records[-1] if tag.startswith("drop/realised/cell_"))
    if len(cells) > 1:
        names = {tag: f"cell {int(tag[-2:])}" for tag in _spread(cells, _MOST_CURVES)}
        yield _curves(records, names, "Realised drop rate of cells", "p"), "a line a depth"
    silent = {"drop/silent/expected": "expected", "drop/silent/realised": "realised, counted"}
    if any(line.get("drop/silent/expected") or line.get("drop/silent/realised") for line in records):
        yield _curves(records, silent, "Silent nodes a sample", "nodes"), "nodes whose every input was dropped"
    drawn = {tag: tag.rpartition("/")[2].replace("_", " ") for tag in records[-1] if tag.startswith("fractal/drawn/")}
    if drawn:
        yield (
            _curves(records, drawn, "What the draws ran", "share of draws"),
            "all columns, under the local rule, or one",
        )
    means = [
        {tag.removeprefix("drop/realised/"): value for tag, value in line.items() if tag.startswith("drop/realised/")}
        for line in records
    ]
    if heat := edges_over_epochs(means):
        yield heat_svg(heat, width=620.0), "a row an edge, mean over the cells of its kind"


def _curves(records: Records, names: Mapping[str, str], title: str, y_label: str) -> str:
    chart = learning_curves(records, names, title=title, x="step", y_label=y_label)
    return chart_svg(replace(chart, x_label="epoch", y_range=(0.0, 0.0)), **_SIZE)


def _spread(names: Sequence[str], most: int) -> list[str]:
    """At most so many of the names, evenly from first to last."""
    count = min(len(names), most)
    return [names[round(i * (len(names) - 1) / max(count - 1, 1))] for i in range(count)]


def history_section(run: RunFacts) -> Section | None:
    """How the search went; None where there was none."""
    result, importances, reason = run.study
    if result is not None:
        return Section("Search", list(_study_blocks(run, result, importances)))
    if reason:
        return Section("Search", [Note(f"The study cannot be shown: {reason}")])
    records = run.trainings.get("search", [])
    return Section("Search", list(_gradient_blocks(records))) if records else None


def _study_blocks(run: RunFacts, result: SearchResult, importances: Mapping[str, float]) -> Iterator[Block]:
    counts: dict[str, int] = {}
    for told in result.history:
        counts[told.outcome] = counts.get(told.outcome, 0) + 1
    yield Facts([("trials", ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items()))])
    if values := search_history({"": result}):
        yield Picture(chart_svg(values, **_SIZE), "single points: trials that ran to their end")
    costs = run.costs
    if costs and result.best(1):
        yield Picture(chart_svg(front_chart(result, costs[0]), **_SIZE))
    best = result.best(_BEST)
    if best:
        rows = [
            (
                told.number, f"{told.value or 0.0:.4f}", *(f"{cost:g}" for cost in told.costs),
                units.count(told.parameters), units.duration(told.seconds),
                "; ".join(f"{cell.name}: {_operations(cell.edges)}" for cell in told.genotype.cells),
            )
            for told in best
        ]  # fmt: skip
        heads = ["trial", "validation", *costs, "parameters", "time", "operations, edge by edge"]
        yield Table(heads, rows, f"the best {len(best)} of {len(result.history)} trials", strong=1)
    if importances:
        shown = list(importances.items())[:_MOST_IMPORTANT]
        caption = "PED-ANOVA (arXiv:2304.10255) over the finished trials; few trials tell little"
        yield Table(
            ["decision about the cell", "share"], [(name, Bar(share, shown[0][1])) for name, share in shown], caption
        )


def _operations(edges: Sequence[object]) -> str:
    return " ".join(str(getattr(edge, "operation", "")) for edge in edges)


def search_history(studies: Mapping[str, SearchResult]) -> Chart | None:
    """The best value so far over the trials of each study; of a single one also every value."""
    series: list[Series] = []
    for name, result in studies.items():
        done = [
            (told.number, told.value) for told in result.history if told.outcome == "done" and told.value is not None
        ]
        best: list[tuple[float, float]] = []
        for number, value in done:
            best.append((float(number), max(value, best[-1][1] if best else -math.inf)))
        if best:
            series.append(Series(name or "best so far", tuple(best)))
        if best and not name:
            gap = (math.nan, math.nan)
            series.append(Series("trial", tuple(p for number, value in done for p in ((float(number), value), gap))))
    return Chart("Value over trials", tuple(series), "trial", "validation accuracy") if series else None


def _gradient_blocks(records: Records) -> Iterator[Block]:
    losses = {"search/weights_loss": "weights", "search/alphas_loss": "alphas"}
    yield Picture(_curves(records, losses, "Loss of the supernet", "loss"))
    last = records[-1]
    for group, title in (("entropy", "Entropy of the mixtures"), ("skip_share", "Share of skip connections")):
        names = {tag: tag.rpartition("/")[2] for tag in last if tag.startswith(f"search/{group}/")}
        if names:
            yield Picture(_curves(records, names, title, "nats" if group == "entropy" else "share"))
    changes = [line for line in records if line.get("search/genotype_changes")]
    yield Facts(
        [
            ("epochs", len(records)),
            ("epochs in which the cell changed", len(changes)),
            ("time", units.duration(sum(line.get("search/seconds", 0.0) for line in records))),
        ]
    )
    if rows := list(_strongest(last)):
        caption = "shares of the operations of each edge in the last epoch"
        yield Table(["edge", "strongest", "share", "second", "share"], rows, caption)


def _strongest(record: Mapping[str, float]) -> Iterator[tuple[str, ...]]:
    edges: dict[str, list[tuple[float, str]]] = {}
    for tag, share in record.items():
        if tag.startswith("alpha/"):
            edge, _, operation = tag.removeprefix("alpha/").rpartition("/")
            edges.setdefault(edge.replace("_", " "), []).append((share, operation))
    for edge, shares in edges.items():
        first, second = [*sorted(shares, reverse=True), (math.nan, "–")][:2]
        yield edge, first[1], f"{first[0]:.3f}", second[1], "–" if math.isnan(second[0]) else f"{second[0]:.3f}"


def results_section(run: RunFacts) -> Section:
    """Test scores beside the baselines, and how those trainings went."""
    blocks: list[Block] = []
    if rows := score_rows(run):
        images = run.scores[0].images
        caption = (
            f"on {images} test images, which allow a standard error of {100 * run.scores[0].standard_error:.2f} % by "
            "themselves; trained alike on train + validation data, scored once; ± is the standard deviation over runs"
        )
        heads = ["network", "test accuracy", "runs", "parameters", "multiply-adds", "time a run"]
        blocks.append(Table(heads, rows, caption, strong=1))
    if measured := run.result.get("table"):
        blocks.append(Table(["column of the table", "value"], [(k, f"{v:g}") for k, v in measured.items()]))
    curves = _final_curves(run)
    if curves:
        chart = Chart("Training for good", tuple(curves), "epoch", "accuracy on training images, under drop")
        blocks.append(Picture(chart_svg(chart, **_SIZE)))
    return Section("Results", blocks or [Note("There are no results yet: the run is not finished.")])


def score_rows(run: RunFacts) -> list[tuple[object, ...]]:
    """A row a network of the final table."""
    return [
        (
            score.label,
            units.percent(score.mean) + (f" ± {100 * score.spread:.2f}" if len(score.accuracies) > 1 else ""),
            len(score.accuracies),
            units.count(score.parameters),
            units.count(score.multiply_adds),
            units.duration(score.seconds),
        )
        for score in run.scores
    ]


def _final_curves(run: RunFacts) -> list[Series]:
    """Accuracy over the epochs of the trainings for good, the first of each network."""
    shown: dict[str, Series] = {}
    for key, told in run.result.get("trainings", {}).items():
        name = str(told.get("label", key)).partition("#")[0]
        records = run.trainings.get(f"final-{key}", [])
        points = [(float(line["step"]), line["train/accuracy"]) for line in records if "train/accuracy" in line]
        if points and name not in shown and len(shown) < _MOST_CURVES:
            shown[name] = Series(name, tuple(points))
    return list(shown.values())


def reproduce_section(run: RunFacts) -> Section:
    """All that it takes to do the run again."""
    identity = run.folder.read_json(run.folder.identity) if run.folder.identity.exists() else {}
    folder, experiment = shlex.quote(str(run.folder.path)), shlex.quote(str(run.folder.experiment))
    commands = [
        f"nasdrop search {experiment} --out again        # the whole run once more",
        f"nasdrop resume {folder}        # continue it where it stopped",
        f"nasdrop tensorboard {folder}        # every curve",
        f"nasdrop export {folder} --all        # the network in every format, with a model card",
    ]
    packages = ", ".join(f"{name} {version}" for name, version in identity.get("versions", {}).items())
    sources = [(name, digest) for name, digest in identity.get("sources", {}).items()]
    blocks: list[Block] = [Listing("\n".join(commands)), Facts([("versions", packages or "unknown")])]
    if sources:
        blocks.append(Table(["source", "SHA-256"], sources, f"copies lie in {run.folder.sources}"))
    text = run.folder.experiment.read_text(encoding="utf-8")
    return Section("How to do it again", [*blocks, Listing(text, "the experiment, every setting written out")])
