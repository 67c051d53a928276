"""What TensorBoard shows of a study, read back from its events, against the study itself."""

import random

import optuna
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nasdrop.searchers.samplers import distributions
from nasdrop.searchers.study_events import FOLDER, importance, write_study
from nasdrop.space import SearchSpace


def make_study(trials=12, costs=1, value=None):
    """Random cells; the value hangs on one decision alone."""
    space, dice = SearchSpace.load("nas_bench_201"), random.Random(0)
    study = optuna.create_study(directions=["maximize", *costs * ["minimize"]])
    for number in range(trials):
        genotype = space.sample(dice)
        params = space.encode(genotype)
        first = space.decisions[0]
        told = first.choices.index(params[first.name]) / 10 + number / 1000 if value is None else value
        study.add_trial(
            optuna.trial.create_trial(
                params=params,
                distributions=distributions(space),
                values=[told, *costs * [float(trials - number)]],
                user_attrs={"genotype": genotype.to_json(), "parameters": 100 + number, "seconds": 2.0},
            )
        )
    return study


def read(folder):
    return EventAccumulator(str(folder / FOLDER), size_guidance={"images": 0}).Reload()


def test_the_events_of_a_study_are_its_trials(tmp_path):
    study = make_study()
    for _ in range(2):  # written again, they take the place of the old ones
        write_study(tmp_path, study, ["parameters"])
    events = read(tmp_path)
    values = [trial.values[0] for trial in study.trials]
    assert [event.value for event in events.Scalars("search/value")] == pytest.approx(values)
    best = [max(values[: number + 1]) for number in range(len(values))]
    assert [event.value for event in events.Scalars("search/best_value")] == pytest.approx(best)
    costs = [event.value for event in events.Scalars("search/cost/parameters")]
    assert costs == [trial.values[1] for trial in study.trials]
    ended = [trial.datetime_complete.timestamp() for trial in study.trials]
    assert [event.wall_time for event in events.Scalars("search/value")] == pytest.approx(ended)
    assert {"cell", "search/pareto_front", "search/importance"} == set(events.Tags()["images"])
    (picture,) = events.Images("cell")
    assert picture.step == values.index(max(values))


def test_the_decision_that_the_value_hangs_on_matters_most():
    study = make_study(60)
    shares = importance(study)
    assert next(iter(shares)) == SearchSpace.load("nas_bench_201").decisions[0].name
    assert sum(shares.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("study", [make_study(3), make_study(12, value=0.5)], ids=["few", "equal"])
def test_no_importance_is_told_where_nothing_can_be_known(study, tmp_path):
    assert importance(study) == {}
    write_study(tmp_path, study)
    assert "search/importance" not in read(tmp_path).Tags()["images"]


def test_nothing_is_written_of_a_study_without_a_finished_trial(tmp_path):
    write_study(tmp_path, make_study(0))
    assert list(tmp_path.iterdir()) == []
