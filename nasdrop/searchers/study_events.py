"""A whole study in TensorBoard: value over trials, the Pareto front, which decisions matter, the best cells."""

import math
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from io import BytesIO
from pathlib import Path

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from nasdrop.searchers.result import SearchResult, TrialRecord
from nasdrop.searchers.trials import finished, record
from nasdrop.train.events import Events, Layout
from nasdrop.view.bars import bars_png
from nasdrop.view.cell_png import cell_png
from nasdrop.view.chart import Chart, trade_off
from nasdrop.view.chart_png import chart_png

FOLDER = "study"
"""Name of the folder beside those of the trainings."""

_FEWEST = 5  # finished trials from which an importance is worth telling
_BEST = 5
_DOTS_PER_INCH = 110
_CHARTS: Layout = {
    "Search": {
        "value of each trial, and the best so far": ["Multiline", ["search/value", "search/best_value"]],
        "what is minimised": ["Multiline", ["search/cost/.*"]],
        "parameters": ["Multiline", ["search/parameters"]],
        "seconds a trial": ["Multiline", ["search/seconds"]],
    }
}


def write_study(events: Path, study: optuna.Study, costs: Sequence[str] = ()) -> None:
    """Write all that a study tells into a folder of its own, in the place of what was there.

    Args:
        events: folder of the run's events.
        study: finished or not; nothing is written of one without a finished trial.
        costs: names of what is minimised beside the value.
    """
    trials = list(finished(study.get_trials(deepcopy=False)))
    if not trials:
        return
    folder = events / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    records = [record(trial) for trial in trials]
    with closing(Events(folder)) as written:
        written.layout(_CHARTS)
        for trial, values in zip(trials, _values(records, costs), strict=True):
            ended = trial.datetime_complete
            written.scalars(values, trial.number, ended.timestamp() if ended else None)
        result = SearchResult(records[0].genotype, 0.0, tuple(records))
        if best := result.best(_BEST):
            written.image("cell", cell_png(best[0].genotype, dots_per_inch=_DOTS_PER_INCH), best[0].number)
            written.text("search/best_cells", _table(best, costs), len(trials))
        if costs and best:
            written.image("search/pareto_front", _as_png(front_chart(result, costs[0])), len(trials))
        if shares := importance(study):
            written.scalars({f"search/importance/{name}": share for name, share in shares.items()}, len(trials))
            written.image("search/importance", bars_png(shares, title="Which decisions matter"), len(trials))


def importance(study: optuna.Study) -> dict[str, float]:
    """How much each decision about the cell explains of the value, by PED-ANOVA (arXiv:2304.10255), largest first.

    Shares of 1; empty where there are too few finished trials to tell, or all have one value.
    """
    done = [trial for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) if trial.params]
    if len(done) < _FEWEST or len({trial.values[0] for trial in done}) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PedAnovaImportanceEvaluator computes")  # that low is good: so it is
        shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(), target=_loss)
    return {name: share for name, share in shares.items() if math.isfinite(share)}


def _loss(trial: FrozenTrial) -> float:
    """The value, turned round: PED-ANOVA asks what makes a target low."""
    return -float(trial.values[0])


def _values(records: Sequence[TrialRecord], costs: Sequence[str]) -> Iterator[Mapping[str, float]]:
    """The numbers of each trial; a value only of those that ran to their end."""
    best = -math.inf
    for told in records:
        values = {"search/seconds": told.seconds, "search/parameters": float(told.parameters)}
        if told.outcome == "done" and told.value is not None:
            best = max(best, told.value)
            values |= {"search/value": told.value, "search/best_value": best}
            values |= {f"search/cost/{name}": cost for name, cost in zip(costs, told.costs, strict=False)}
        yield values


def front_chart(result: SearchResult, cost: str) -> Chart:
    """The value of all finished trials against their first cost, whose name is given, and the front among them."""
    tried = [(told.costs[0], told.value or 0.0) for told in result.best(len(result.history))]
    points = [(told.costs[0], told.value or 0.0) for told in result.front()]
    return trade_off(tried, points, x_label=cost, y_label="validation accuracy")


def _as_png(chart: Chart) -> bytes:
    file = BytesIO()
    chart_png(chart, file, dots_per_inch=_DOTS_PER_INCH)
    return file.getvalue()


def _table(best: Sequence[TrialRecord], costs: Sequence[str]) -> str:
    """The best cells as Markdown."""
    heads = ("trial", "value", *costs, "parameters", "genotype")
    rows = [
        (str(told.number), f"{told.value:.4f}", *(f"{cost:g}" for cost in told.costs), str(told.parameters))
        for told in best
    ]
    cells = [(*row, f"`{told.genotype.to_json()}`") for row, told in zip(rows, best, strict=True)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, ("---",) * len(heads), *cells))
