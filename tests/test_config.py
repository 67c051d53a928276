import math
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasdrop import config
from nasdrop.errors import ConfigError
from nasdrop.settings import Experiment


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "x.toml"
        path.write_text(text)
        return path

    return write


def lines(call) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        call()
    assert caught.value.exit_code == 2
    return caught.value.lines


def test_defaults_are_written_out_and_read_back(write):
    experiment = config.load(Experiment, write('name = "a"\n[train]\nepochs = 3\n'), ["drop.p=.35"])
    assert (experiment.train.epochs, experiment.drop.p) == (3, 0.35)
    again = config.load(Experiment, write(config.dump(experiment)))
    assert again == experiment


def test_all_mistakes_of_a_file_at_once_each_with_its_key(write):
    path = write('name = "A b"\nsede = 3\n[train]\nlerning_rate = 1\nepochs = "5"\n[drop]\np = nan\nmode = "rows"\n')
    found = lines(lambda: config.load(Experiment, path))
    assert len(found) == 6
    assert all(line.startswith(f"{path}: ") for line in found)
    text = "\n".join(found)
    assert "sede: unknown key; did you mean 'seed'?" in text
    assert "train.lerning_rate: unknown key; did you mean 'learning_rate'?" in text
    assert "train.epochs: must be a valid integer, got '5'" in text
    assert "drop.p: must be a finite number, got nan" in text
    assert "drop.mode: must be 'row' or 'batch', got 'rows'; did you mean 'row'?" in text


@pytest.mark.parametrize("value", ["-0.1", "1.1", "nan", "inf", "true", '"0.2"', "[0.2]"])
def test_what_is_not_a_probability(write, value):
    (line,) = lines(lambda: config.load(Experiment, write(f'name = "a"\n[drop]\np = {value}\n')))
    assert "drop.p" in line


@pytest.mark.parametrize(
    ("override", "rule"),
    [
        ("train.epochs=0", "override train.epochs=0: must be greater than or equal to 1, got 0"),
        ("train.epoch=5", "override train.epoch=5: unknown key; did you mean 'epochs'?"),
        ("drop.p=two", "override drop.p=two: must be a valid number, got 'two'"),
        ("drop=1", "override drop=1: must be a table, got 1"),
        ("no_equals", "override: must read key.subkey=value, got 'no_equals'"),
        ("=1", "override: must read key.subkey=value, got '=1'"),
        ("name.x=1", "override name.x=1: 'name' holds a value, not a table"),
        ("drop=1", "override drop=1: 'drop' is a table; set one of its keys"),
    ],
)
def test_overrides_are_named(write, override, rule):
    text = 'name = "a"\n[drop]\np = 0.1\n' if "is a table" in rule else 'name = "a"\n'
    assert lines(lambda: config.load(Experiment, write(text), [override])) == (rule,)


def test_a_number_given_where_text_belongs_is_taken_as_text(write):
    experiment = config.load(Experiment, write('name = "a"\n'), ["name=2024", "description=true", "data.root=1.50"])
    assert (experiment.name, experiment.description, experiment.data.root) == ("2024", "true", "1.50")


@pytest.mark.parametrize(
    ("content", "rule"),
    [(b"name = ", "not valid TOML"), (b"\xff", "must be UTF-8"), (b"a = " + b"[" * 5000, "not valid TOML")],
)
def test_a_file_that_is_not_toml(tmp_path, content, rule):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    (line,) = lines(lambda: config.load(Experiment, path))
    assert rule in line and line.startswith(str(path)) and "\n" not in line


def test_a_missing_file(tmp_path):
    (line,) = lines(lambda: config.load(Experiment, tmp_path / "none.toml"))
    assert "none.toml: cannot be read: No such file" in line


@given(st.text(alphabet=string.printable, max_size=40))
def test_any_override_is_parsed_or_refused_in_one_line(text):
    try:
        override = config.parse_override(text)
    except ConfigError as error:
        assert len(error.lines) == 1
    else:
        assert override.keys and all(override.keys)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive_an_override(number):
    value = config.parse_override(f"a={number!r}").value
    assert math.isclose(value, number, rel_tol=0, abs_tol=0)


def test_a_rule_between_two_keys_names_the_key_and_the_override(write):
    path = write('name = "a"\n[search]\nheartbeat_seconds = 700\n')
    rule = "must be greater than heartbeat_seconds, 700, got"
    assert lines(lambda: config.load(Experiment, path)) == (f"{path}: search.grace_seconds: {rule} 600",)
    (line,) = lines(lambda: config.load(Experiment, path, ["search.grace_seconds=9"]))
    assert line == f"override search.grace_seconds=9: {rule} 9"


def test_empty_keys_and_keys_of_several_lines_are_one_line_too(write):
    with pytest.raises(ConfigError) as caught:
        config.load(Experiment, write('name = "a"\n"" = 1\n[data]\n"a\\nb" = 2\n"" = 3\n'))
    assert len(caught.value.lines) == 3
    assert all("unknown key" in line and "\n" not in line for line in caught.value.lines)
    assert any("data.a\\nb: unknown key" in line for line in caught.value.lines)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = " + "9" * 5000, "not valid TOML"),
        ("x = " + "[" * 60 + "]" * 60, "nested too deeply"),
        (".".join(["a"] * 60) + " = 1", "nested too deeply"),
        ("#" * 1_000_001, "at most 1000000 characters"),
    ],
)
def test_files_that_are_meant_to_hurt_are_refused(tmp_path, text, reason):
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(ConfigError, match=reason) as caught:
        config.read_toml(tmp_path / "x.toml")
    assert len(caught.value.lines) == 1


def test_an_override_of_5000_digits_is_too_large_for_a_number():
    assert config.parse_override("a=" + "9" * 5000).value == math.inf  # which no setting takes
