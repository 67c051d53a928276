"""Settings searched beside the cell: what a file may ask for, what is refused and how, what takes effect."""

import pytest

from nasdrop import config
from nasdrop.beside import applied, candidate_digest, chosen_in, extremes
from nasdrop.errors import ConfigError
from nasdrop.files import digest
from nasdrop.settings import Experiment

RANGE = "{low = 0.0, high = 0.5}"


def load(tmp_path, *lines, before=""):
    path = tmp_path / "x.toml"
    path.write_text("\n".join(['name = "x"', before, "[search.beside]", *lines]))
    return config.load(Experiment, path)


def mistakes(tmp_path, *lines, before=""):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, *lines, before=before)
    assert all(line.startswith(f"{tmp_path / 'x.toml'}: search.beside") for line in caught.value.lines)
    return [line.partition("search.beside")[2].removeprefix(".") for line in caught.value.lines]


def test_ranges_lists_and_conditions_are_read_and_written_back(tmp_path):
    experiment = load(
        tmp_path,
        f'"drop.p" = {RANGE}',
        '"drop.survivors" = ["none", "revive"]',
        '"drop.at_least" = {low = 1, high = 3, when = {"drop.survivors" = "revive"}}',
        '"network.channels" = {low = 8, high = 32, step = 8}',
    )
    beside = experiment.search.beside
    assert list(beside) == ["drop.p", "drop.survivors", "drop.at_least", "network.channels"]
    assert extremes(beside["drop.p"]) == (0.0, 0.5) and extremes(beside["drop.survivors"]) == ("none", "revive")
    assert beside["drop.at_least"].when == {"drop.survivors": ("revive",)}
    again = tmp_path / "again.toml"
    again.write_text(config.dump(experiment))
    assert config.load(Experiment, again) == experiment


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f'"drop.pp" = {RANGE}', "drop.pp: no setting of this name can be searched; did you mean 'drop.p'?"),
        (f'"data.valid_fraction" = {RANGE}', "data.valid_fraction: no setting of this name can be searched"),
        ('"train.epochs" = [2, 4]', "train.epochs: no setting of this name can be searched"),
        ('"drop.p" = {low = 0.1, high = 1.5}', "drop.p: must be less than or equal to 1, got 1.5"),
        ('"drop.p" = {low = 0, high = 1}', "drop.p: must have an end with a point, such as 1.0"),
        ('"drop.p" = {low = 0.5, high = 0.5}', "drop.p.high: must be greater than low, 0.5, got 0.5"),
        ('"drop.p" = {low = 0.5}', "drop.p.high: is required, unless there are choices, got none"),
        ('"drop.p" = {low = 0.0, high = 0.5, log = true}', "drop.p.low: must be greater than 0 on a logarithmic scale"),
        ('"drop.p" = {low = 0.0, high = 0.5, step = 0.2}', "drop.p.step: must divide the range from 0.0 to 0.5"),
        ('"drop.p" = {low = 0.1, high = 0.5, log = true, step = 0.2}', "drop.p.step: is for a scale that is not"),
        ('"drop.p" = {low = "a", high = 0.5}', "drop.p.low: must be a valid"),
        ('"drop.p" = [0.2]', "drop.p.choices: must be two or more different values, got [0.2]"),
        ('"drop.p" = {choices = [0.1, 0.2], high = 0.5}', "drop.p.high: is for a range without choices, got 0.5"),
        ('"drop.p" = {low = 0.1, hihg = 0.5}', "drop.p.hihg: unknown key; did you mean 'high'?"),
        ('"drop.mode" = ["row", "bach"]', "drop.mode: must be 'row' or 'batch', got 'bach'"),
        ('"network.channels" = [8, 8.5]', "network.channels: must be a valid integer"),
        ('"network.channels" = {low = 8, high = 16, step = 0.5}', "network.channels.step: must be whole"),
    ],
)
def test_what_is_refused_names_the_setting(tmp_path, line, expected):
    assert any(found.startswith(expected) for found in mistakes(tmp_path, line))


def test_conditions_must_be_on_what_is_searched_above(tmp_path):
    share = '"drop.global_share" = {{low = 0.1, high = 0.9, when = {{{}}}}}'
    policy = '"drop.policy" = ["edge", "node"]'
    rule = "drop.global_share.when.drop.policy: must be searched among choices, in a line above"
    (line,) = mistakes(tmp_path, share.format('"drop.policy" = "edge"'), policy)
    assert line.startswith(rule)
    (line,) = mistakes(tmp_path, policy, share.format('"drop.polcy" = "edge"'))
    assert line.endswith("did you mean 'drop.policy'?")
    (line,) = mistakes(tmp_path, policy, share.format('"drop.policy" = ["edge", "fractal"]'))
    assert line.endswith("must be one of the choices ['edge', 'node'], got 'fractal'")


def test_settings_are_for_trials_that_train_and_must_reach_the_final_trainings(tmp_path):
    (line,) = mistakes(tmp_path, f'"drop.p" = {RANGE}', before='[search]\nevaluator = "inherited"')
    assert line.startswith(": is for search.evaluator = 'training'")
    (line,) = mistakes(tmp_path, f'"drop.p" = {RANGE}', before="[final.drop]\np = 0.1")
    assert "[final.drop]" in line
    assert load(tmp_path, '"train.momentum" = [0.5, 0.9]', before="[final.drop]\np = 0.1")


def test_an_override_quotes_the_key_and_an_empty_table_takes_all_away(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text(f'name = "x"\n[search.beside]\n"drop.p" = {RANGE}\n')
    more = config.load(Experiment, path, ['search.beside."train.momentum"=[0.5, 0.9]'])
    assert list(more.search.beside) == ["drop.p", "train.momentum"]
    assert config.load(Experiment, path, ["search.beside={}"]).search.beside == {}
    with pytest.raises(ConfigError, match=r'override search.beside."drop.p"={low=0.1, high=2.0}: must be less than'):
        config.load(Experiment, path, ['search.beside."drop.p"={low=0.1, high=2.0}'])
    with pytest.raises(ConfigError, match=r"must read key\.subkey=value"):
        config.load(Experiment, path, ['search."beside=1'])


def test_what_is_chosen_takes_its_place_and_is_found_again(tmp_path):
    experiment = load(
        tmp_path,
        '"drop.mode" = ["row", "batch"]',
        '"drop.p" = {low = 0.0, high = 0.5, when = {"drop.mode" = "row"}}',
    )
    beside = experiment.search.beside
    for chosen in ({"drop.mode": "batch"}, {"drop.mode": "row", "drop.p": 1 / 3}):
        best = applied(experiment, chosen)
        assert best.drop.mode == chosen["drop.mode"] and best.drop.p == chosen.get("drop.p", experiment.drop.p)
        assert best.search.beside == {} and best.train == experiment.train
        path = tmp_path / "best.toml"
        path.write_text(config.dump(best))
        assert chosen_in(config.load(Experiment, path), beside) == chosen


def test_equal_cells_under_other_settings_are_other_candidates():
    assert candidate_digest("cell", {}) == digest("cell")
    values = {
        candidate_digest("cell", {"drop.p": p, "drop.mode": mode}) for p in (0.1, 0.2) for mode in ("row", "batch")
    }
    assert len(values) == 4
    assert candidate_digest("cell", {"a": 1, "b": 2}) == candidate_digest("cell", {"b": 2, "a": 1})
