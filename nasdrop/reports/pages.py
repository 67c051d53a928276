"""Run folders as one page to read or to send: what was run, the cell, drop path planned and realised, the results."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from nasdrop import config
from nasdrop.errors import RunFolderError
from nasdrop.reports.facts import RunFacts
from nasdrop.reports.sections import (
    cell_section,
    drop_section,
    history_section,
    reproduce_section,
    results_section,
    search_history,
)
from nasdrop.run_folder import RunFolder, versions
from nasdrop.view import units
from nasdrop.view.cell_svg import genotype_svg
from nasdrop.view.chart import Chart, Series
from nasdrop.view.chart_svg import chart_svg
from nasdrop.view.page import Block, Facts, Note, Page, Part, Picture, Section, Table

_ELSEWHERE = ("description", "device", "threads", "workers", "data.root")  # settings that change no result


def report(folders: Sequence[RunFolder]) -> str:
    """The page of one run, or of several with a comparison before them, as HTML.

    Raises:
        RunFolderError: a folder is none of a run's, or a file of it is damaged.
    """
    if not folders:
        raise RunFolderError("report: needs a run folder, got none")
    runs = [RunFacts(folder) for folder in folders]
    for run in runs:
        run.folder.read_experiment()
    parts = [run_part(run) for run in runs]
    if len(runs) == 1:
        page = Page(runs[0].name, [replace(parts[0], title="")])
    else:
        page = Page(f"{len(runs)} runs compared", [comparison(runs), *parts])
    return replace(page, footer=f"Written by nasdrop {versions()['nasdrop']}.").html()


def run_part(run: RunFacts) -> Part:
    """All that is told of one run."""
    sections = [
        summary_section(run),
        cell_section(run),
        drop_section(run),
        history_section(run),
        results_section(run),
        reproduce_section(run),
    ]
    description = run.experiment.description or run.experiment.name
    return Part(run.name, [section for section in sections if section], description)


def summary_section(run: RunFacts) -> Section:
    """A run in a dozen lines."""
    experiment = run.experiment
    rows: list[tuple[str, object]] = [
        ("run folder", run.folder.path),
        ("state", state(run)),
        ("space", experiment.space),
        ("data", experiment.data.name),
        ("search", run.method),
        ("drop path", run.drop),
        ("network", f"{experiment.network.num_cells} cells, {experiment.network.channels} channels"),
        ("validation", validation(run)),
    ]
    if run.scores:
        best = run.scores[0]
        spread = f" ± {100 * best.spread:.2f} over {len(best.accuracies)} runs" if len(best.accuracies) > 1 else ""
        rows.append(("test", f"{units.percent(best.mean)}{spread}, {best.images} images"))
        rows.append(("size", f"{best.parameters:,.0f} parameters, {best.multiply_adds:,.0f} multiply-adds an image"))
    return Section("Summary", [Facts(rows)])


def state(run: RunFacts) -> str:
    """How far a run has come."""
    if run.result:
        return "finished"
    result = run.study[0]
    if result is not None:
        return f"not finished: {len(result.history)} trials have ended"
    epochs = len(run.trainings.get("search", ()))
    return f"not finished: {epochs} epochs of the search" if epochs else "not finished"


def validation(run: RunFacts) -> str:
    """The best cell's accuracy on the validation split, or why there is none."""
    value = run.result.get("validation_accuracy")
    note = run.result.get("validation_note")
    if value is None:
        best = run.study[0].best(1) if run.study[0] else []
        return f"{units.percent(best[0].value or 0.0)} so far" if best else "none"
    return units.percent(value) + (f" ({note})" if note else "")


def comparison(runs: Sequence[RunFacts]) -> Part:
    """What is alike and what differs, before the runs one by one."""
    rows = [
        (
            run.name, run.experiment.space, run.method, run.drop, validation(run),
            units.percent(run.scores[0].mean) if run.scores else "–",
            units.count(run.scores[0].parameters) if run.scores else "–",
        )
        for run in runs
    ]  # fmt: skip
    heads = ["run", "space", "search", "drop path", "validation", "test", "parameters"]
    sections = [
        Section("The runs", [Table(heads, rows, "test accuracy of each run's best cell")]),
        Section("Settings that differ", [_differences(runs)]),
        Section("Drop path side by side", list(_drop_overlays(runs))),
    ]
    studies = {run.name: run.study[0] for run in runs if run.study[0]}
    if values := search_history({name: result for name, result in studies.items() if result}):
        sections.append(Section("Searches side by side", [Picture(chart_svg(values))]))
    cells = [Picture(genotype_svg(run.genotype, title=run.name)) for run in runs if run.genotype]
    return Part("Comparison", [*sections, *([Section("Cells side by side", cells)] if cells else [])])


def _differences(runs: Sequence[RunFacts]) -> Block:
    """Settings that not all runs have alike, those apart that are at their defaults wherever there are such."""
    settings = [config.flatten(run.experiment) for run in runs]
    asked = {key for run in runs for key in config.changed(run.experiment)}
    keys = [key for key in dict.fromkeys(key for one in settings for key in one) if not key.startswith(_ELSEWHERE)]
    rows = [
        (key, *(str(one.get(key, "–")) for one in settings))
        for key in keys
        if key in asked and len({str(one.get(key)) for one in settings}) > 1
    ]
    return Table(["setting", *(run.name for run in runs)], rows) if rows else Note("None.")


def _drop_overlays(runs: Sequence[RunFacts]) -> Iterator[Block]:
    """The rates of the whole network in each run's main training, planned and realised."""
    for kind in ("planned", "realised"):
        tag = f"drop/{kind}/mean"
        series = [
            Series(run.name, tuple((float(line["step"]), line[tag]) for line in run.trainings[run.main] if tag in line))
            for run in runs
            if run.main
        ]
        if shown := tuple(one for one in series if one.points):
            title = f"{kind.capitalize()} drop rate"
            yield Picture(chart_svg(Chart(title, shown, "epoch", "mean over the paths that can drop", (0.0, 0.0))))
