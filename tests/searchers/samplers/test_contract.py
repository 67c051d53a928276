"""What every sampler keeps to, ours and Optuna's: legal cells, equal seeds, any state of the past; ours repeat none."""

import copy
import math
import random
from typing import get_args

import optuna
import pytest
from optuna.trial import TrialState

from nasdrop.searchers.samplers import (
    ONE_OBJECTIVE,
    SAMPLERS,
    VALUES_WHEN_PRUNED,
    CellSampler,
    distributions,
    suggest_genotype,
    unknown_cell,
)
from nasdrop.settings import StudySettings
from nasdrop.space import CellGraph, CellSpace, Edge, SearchSpace

SPACES = {name: SearchSpace.load(name) for name in ("tiny", "darts", "nas_bench_201", "robust_s1")}
OURS = ("bayesian", "evolution", "local_search")
every = pytest.mark.parametrize("name", SAMPLERS)
ours = pytest.mark.parametrize("name", OURS)


def value_of(space, genotype) -> float:
    """A rugged value that depends on the function of the cell alone, and a smooth part."""
    skips = sum(edge.operation == "skip_connect" for cell in genotype.cells for edge in cell.edges)
    return random.Random(space.canonical(genotype)).random() - skips / 10


def study_of(name, space, seed=0, startup=4, **options):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    options = {"direction": "maximize"} | options
    return optuna.create_study(sampler=SAMPLERS[name](space, startup, seed), **options)


def ask(study, space):
    trial = study.ask(distributions(space))
    genotype = space.decode(trial.params)
    space.validate(genotype)
    return trial, genotype


def run(study, space, trials, value=value_of):
    found = []
    for _ in range(trials):
        trial, genotype = ask(study, space)
        study.tell(trial, value(space, genotype))
        found.append(genotype)
    return found


def test_the_names_are_those_of_the_settings():
    assert set(get_args(StudySettings.model_fields["sampler"].annotation)) == set(SAMPLERS)


@every
@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_equal_seeds_give_equal_legal_cells(name, space):
    trials = {"gp": 7, "bayesian": 8}.get(name, 24)  # as many as a model, or a population, needs to be used
    runs = [run(study_of(name, space, seed), space, trials) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


@ours
@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_ours_repeat_no_cell(name, space):
    trials = 24 if name == "bayesian" else 60
    found = run(study_of(name, space), space, trials)
    assert len({space.canonical(genotype) for genotype in found}) == trials


@every
def test_a_past_of_every_state(name):
    """Complete, pruned with and without reports, failed, running and with values that are no use."""
    space = SPACES["nas_bench_201"]
    study = study_of(name, space)
    for number in range(16):
        trial, genotype = ask(study, space)
        if number % 4 == 1:
            trial.report(value_of(space, genotype), 1)
            study.tell(trial, state=TrialState.PRUNED)
        elif number % 8 == 2:
            study.tell(trial, state=TrialState.PRUNED)
        elif number % 8 == 6:
            study.tell(trial, state=TrialState.FAIL)
        elif number % 4 == 0:  # the others run on
            worst = -math.inf if number == 8 and name != "gp" else 0.0  # Optuna's warns of what is not finite
            study.tell(trial, worst if number == 8 else value_of(space, genotype))
    assert len(run(study, space, 6)) == 6


@every
def test_limits_are_kept_in_mind(name):
    """Of cells over a limit some were evaluated and some turned away; proposals go on, and ours ask none again."""
    space = SPACES["nas_bench_201"]
    study = study_of(name, space)
    forms = []
    for number in range(24):
        trial, genotype = ask(study, space)
        trial.set_constraint("skips", sum(edge.operation == "skip_connect" for edge in genotype.cells[0].edges) / 2 - 1)
        over = trial.constraints["skips"] > 0
        forms.append(space.canonical(genotype))
        state = TrialState.PRUNED if over and number % 2 else TrialState.COMPLETE
        study.tell(trial, None if state is TrialState.PRUNED else value_of(space, genotype), state=state)
    assert study.best_trial.constraints["skips"] <= 0
    if name in OURS:
        assert len(set(forms)) == 24
        tried = study.sampler.history(study, -1)
        assert {form for form, one in tried.items() if one.over_limit} == {
            form for form, trial in zip(forms, study.trials, strict=True) if trial.constraints["skips"] > 0
        }
        assert all(one.score is None for one in tried.values() if one.over_limit)


@ours
def test_what_failed_or_runs_is_not_proposed_again(name):
    space = SPACES["nas_bench_201"]
    study = study_of(name, space)
    forms = []
    for number in range(40):
        trial, genotype = ask(study, space)
        forms.append(space.canonical(genotype))
        if number % 4 == 1:
            study.tell(trial, state=TrialState.FAIL)
        elif number % 4 != 2:
            study.tell(trial, value_of(space, genotype))
    assert len(set(forms)) == 40


@ours
def test_the_brackets_of_hyperband_share_what_is_known(name):
    """Optuna shows a sampler the trials of one bracket only."""
    space = SPACES["tiny"]
    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9, reduction_factor=3)
    study = study_of(name, space, pruner=pruner)
    cells = [space.sample(random.Random(seed)) for seed in range(6)]  # a space of six cells, as it were
    forms = {space.canonical(cell) for cell in cells}
    study.sampler.propose = lambda history: next((cell for cell in cells if space.canonical(cell) not in history), None)
    found = set()
    for number in range(6):
        trial, genotype = ask(study, space)
        trial.report(number, 1)
        trial.should_prune()  # from now on there are brackets
        study.tell(trial, number)
        found.add(space.canonical(genotype))
    assert found == forms and len(forms) == 6


@ours
def test_workers_that_ask_at_once_get_different_cells(name):
    space = SPACES["darts"]
    study = study_of(name, space)
    run(study, space, 22)
    asked = [ask(study, space)[1] for _ in range(8)]
    assert len({space.canonical(genotype) for genotype in asked}) == 8


@ours
def test_a_loaded_study_goes_on(name, tmp_path):
    space = SPACES["tiny"]
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.journal"))
    )
    first = run(study_of(name, space, storage=storage, study_name="s"), space, 22)
    sampler = SAMPLERS[name](space, 4, 1)
    again = run(optuna.load_study(storage=storage, study_name="s", sampler=sampler), space, 12)
    assert len({space.canonical(genotype) for genotype in first + again}) == 34


@every
def test_edges_that_are_not_kept_need_no_parameters(name):
    """An objective of one's own that suggests the operations of kept edges only."""
    space = SPACES["robust_s1"]
    choices = dict(space.decisions)
    study = study_of(name, space)

    def objective(trial):
        for node in (3, 4, 5):
            for cell in ("normal", "reduction"):
                inputs = f"{cell}.node{node}.inputs"
                kept = trial.suggest_categorical(inputs, choices[inputs]).split("+")
                for source in kept:
                    edge = f"{cell}.node{node}.from{source}"
                    trial.suggest_categorical(edge, choices[edge])
        for cell in ("normal", "reduction"):
            for source in (0, 1):
                trial.suggest_categorical(f"{cell}.node2.from{source}", choices[f"{cell}.node2.from{source}"])
        genotype = space.decode(trial.params)
        space.validate(genotype)
        return value_of(space, genotype)

    study.optimize(objective, n_trials=8)
    forms = {space.canonical(space.decode(trial.params)) for trial in study.trials}
    assert len(forms) == 8 or name not in OURS


@ours
def test_other_parameters_beside_the_cell(name):
    space = SPACES["tiny"]
    study = study_of(name, space)

    def objective(trial):
        rate = trial.suggest_float("learning_rate", 0.01, 0.1)
        return value_of(space, suggest_genotype(trial, space)) + rate

    study.optimize(objective, n_trials=25)
    assert len({trial.params["learning_rate"] for trial in study.trials}) == 25


@ours
def test_a_study_of_something_else(name):
    study = study_of(name, SPACES["tiny"])
    study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=5)
    assert len(study.trials) == 5


@ours
def test_every_cell_is_found_and_then_any_is_legal(name):
    graph = CellGraph(1, 2, (Edge(0, 1, ("none", "conv_1x1")), Edge(1, 2, ("conv_1x1", "conv_3x3"))))
    space = SearchSpace("small", "", "nas_bench_201", (CellSpace("normal", graph, output="last"),))
    study = study_of(name, space)
    found = run(study, space, 9)
    assert len({space.canonical(genotype) for genotype in found[:3]}) == 3  # the convolution of zero is zero
    one = SearchSpace(
        "one", "", "nas_bench_201", (CellSpace("normal", CellGraph(1, 1, (Edge(0, 1, ("none",)),)), output="last"),)
    )
    assert len(set(run(study_of(name, one), one, 4))) == 1


@ours
def test_equal_values_tell_nothing_and_break_nothing(name):
    space = SPACES["nas_bench_201"]
    found = run(study_of(name, space), space, 40, value=lambda space, genotype: 0.5)
    assert len({space.canonical(genotype) for genotype in found}) == 40


@ours
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_direction_counts(name, direction):
    """In a smooth landscape the last cells are better than the first, whichever way is up."""
    space = SPACES["nas_bench_201"]

    def convolutions(space, genotype):
        return float(sum(edge.operation.startswith("nor_conv") for edge in genotype.cells[0].edges))

    study = study_of(name, space, direction=direction)
    run(study, space, 30 if name == "bayesian" else 80, convolutions)
    values = [trial.value for trial in study.trials]
    gain = sum(values[-10:]) / 10 - sum(values[:5]) / 5
    assert gain > 0.7 if direction == "maximize" else gain < -0.7
    assert study.best_value == (6 if direction == "maximize" else 0)


@pytest.mark.parametrize("name", sorted(ONE_OBJECTIVE))
def test_several_objectives_are_refused_by_samplers_of_one(name):
    space = SPACES["tiny"]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=SAMPLERS[name](space, 4, 0))
    with pytest.raises(ValueError, match="multi-objective"):
        study.ask(distributions(space))


@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - ONE_OBJECTIVE - {"gp"}))
def test_several_objectives(name):
    """More convolutions against fewer skips: legal cells after a past of several states, some over a limit."""
    space = SPACES["nas_bench_201"]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=SAMPLERS[name](space, 4, 0))
    for number in range(20):
        trial, genotype = ask(study, space)
        names = [edge.operation for edge in genotype.cells[0].edges]
        trial.set_constraint("zeros", names.count("none") - 2)
        if number % 5 == 4:
            study.tell(trial, state=TrialState.FAIL)
        elif number % 5 == 3:
            trial.set_user_attr(VALUES_WHEN_PRUNED, [1.0, 2.0])
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, [sum("conv" in name for name in names), sum("skip" in name for name in names)])
    assert study.best_trials


@ours
def test_a_used_sampler_can_be_pickled_and_reseeded(name):
    space = SPACES["tiny"]
    study = study_of(name, space)
    run(study, space, 25)
    again = copy.deepcopy(study.sampler)  # by the protocol of pickle
    assert isinstance(again, CellSampler)
    study.sampler = again
    same = ask(study, space)[1]
    again.reseed_rng()
    space.validate(same)
    assert len({space.canonical(ask(study, space)[1]) for _ in range(3)}) == 3


def test_an_unknown_cell_of_a_space_that_is_almost_known():
    edges = tuple(Edge(source, target, ("conv_1x1", "conv_3x3")) for target in range(1, 5) for source in range(target))
    space = SearchSpace("small", "", "nas_bench_201", (CellSpace("normal", CellGraph(1, 4, edges), output="last"),))
    forms = sorted({space.canonical(genotype) for genotype in space.enumerate()})
    rng = random.Random(0)
    found = unknown_cell(space, lambda form: form != forms[7], rng)
    assert space.size == 1024 and space.canonical(found) == forms[7]
    assert unknown_cell(space, lambda form: True, rng) is None
    assert unknown_cell(SPACES["darts"], lambda form: True, rng) is None  # too large to be looked through
