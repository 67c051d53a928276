"""Curves, profiles and clocks: end points, shapes, and the error for every value out of range."""

import math

import pytest

from nasdrop.drop import CLOCKS, CURVES, DEPTHS, Schedule, rate_grid
from nasdrop.errors import DropError

MOMENTS = [i / 200 for i in range(201)]


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("depth", DEPTHS)
def test_rates_are_probabilities_at_most_p(curve: str, depth: str) -> None:
    schedule = Schedule(0.4, curve, depth)
    rates = [schedule.rate(u, d / 5, cells=5) for u in MOMENTS for d in range(1, 6)]
    assert all(0.0 <= rate <= 0.4 for rate in rates)
    assert any(rate > 0.3 for rate in rates)


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ("constant", {0.0: 1.0, 0.5: 1.0, 1.0: 1.0}),
        ("linear", {0.0: 0.0, 0.25: 0.25, 1.0: 1.0}),
        ("cosine", {0.0: 0.0, 0.5: 0.5, 1.0: 1.0, 0.25: (1 - math.sqrt(0.5)) / 2}),
        ("step", {0.0: 0.0, 0.249: 0.0, 0.25: 1 / 3, 0.5: 2 / 3, 0.75: 1.0, 1.0: 1.0}),
        ("warmup-hold", {0.0: 0.0, 0.15: 0.5, 0.3: 1.0, 1.0: 1.0}),
        ("early", {0.0: 1.0, 0.15: 0.5, 0.3: 0.0, 1.0: 0.0}),
    ],
)
def test_curves(curve: str, expected: dict[float, float]) -> None:
    schedule = Schedule(0.5, curve)
    for progress, share in expected.items():
        assert schedule.rate(progress) == pytest.approx(0.5 * share, abs=1e-12)


def test_rising_curves_never_fall_and_early_never_rises() -> None:
    for curve in ("constant", "linear", "cosine", "step", "warmup-hold"):
        rates = [Schedule(0.3, curve, start=0.2).rate(u) for u in MOMENTS]
        assert rates == sorted(rates)
    rates = [Schedule(0.3, "early").rate(u) for u in MOMENTS]
    assert rates == sorted(rates, reverse=True)


def test_shape_fields() -> None:
    assert Schedule(0.4, "linear", start=0.5).rate(0.0) == pytest.approx(0.2)
    assert Schedule(0.4, "early", until=0.5).rate(0.25) == pytest.approx(0.2)
    assert Schedule(0.4, "step", milestones=(0.5,)).rate(0.5) == pytest.approx(0.4)


def test_depth_profiles() -> None:
    assert [Schedule(0.4, "constant", "flat").rate(0.0, d / 4) for d in (1, 4)] == [0.4, 0.4]
    assert [Schedule(0.4, "constant", "linear").rate(0.0, d / 4) for d in (1, 2, 4)] == pytest.approx([0.1, 0.2, 0.4])
    from_zero = Schedule(0.4, "constant", "linear-from-zero")
    assert [from_zero.rate(0.0, d / 5, cells=5) for d in (1, 3, 5)] == pytest.approx([0.0, 0.2, 0.4])
    assert from_zero.rate(0.0, 1.0, cells=1) == 0.0
    with pytest.raises(DropError, match="needs the number of cells, got None"):
        from_zero.rate(0.0, 0.5)


@pytest.mark.parametrize(
    ("clock", "first", "last"),
    [
        ("epoch", 0.0, 0.9),
        ("epoch-inclusive", 0.0, 1.0),
        ("epoch-ahead", 0.1, 1.0),
        ("step", 0.0, 0.99),
        ("step-ahead", 0.01, 1.0),
    ],
)
def test_clocks_in_the_first_and_the_last_epoch(clock: str, first: float, last: float) -> None:
    schedule = Schedule(clock=clock)
    assert schedule.progress(epoch=0, epochs=10, step=0, steps=100) == pytest.approx(first)
    assert schedule.progress(epoch=9, epochs=10, step=99, steps=100) == pytest.approx(last)


def test_every_clock_is_tested() -> None:
    assert set(CLOCKS) == {"epoch", "epoch-inclusive", "epoch-ahead", "step", "step-ahead"}


@pytest.mark.parametrize("clock", CLOCKS)
def test_progress_is_clipped_and_a_single_epoch_is_fine(clock: str) -> None:
    schedule = Schedule(clock=clock)
    assert 0.0 <= schedule.progress(epoch=0, epochs=1, step=0, steps=1) <= 1.0
    assert schedule.progress(epoch=0, epochs=1, step=500, steps=100) <= 1.0
    assert Schedule(clock="epoch-inclusive").progress(epoch=0, epochs=1) == 1.0


def test_all_mistakes_of_a_schedule_at_once() -> None:
    with pytest.raises(DropError) as caught:
        Schedule(p=1.2, curve="liner", depth="deep", clock="hour", start=math.nan, until=0.0, milestones=(0.5, 0.2))
    assert len(caught.value.lines) == 7
    text = str(caught.value)
    assert "p has to be between 0 and 1, got 1.2" in text
    assert "no curve 'liner'; did you mean 'linear'?" in text


@pytest.mark.parametrize("changes", [{"p": -0.1}, {"p": "0.2"}, {"p": math.nan}, {"milestones": ()}, {"until": 1.5}])
def test_values_out_of_range(changes: dict[str, object]) -> None:
    with pytest.raises(DropError, match="got"):
        Schedule().changed(**changes)


def test_changed_names_the_nearest_field() -> None:
    assert Schedule().changed(p=0.1, curve="cosine") == Schedule(0.1, "cosine")
    with pytest.raises(DropError, match="no field 'dept'; did you mean 'depth'"):
        Schedule().changed(dept="flat")


@pytest.mark.parametrize("progress", [-0.01, 1.01, math.nan])
def test_progress_out_of_range(progress: float) -> None:
    with pytest.raises(DropError, match="progress has to be between 0 and 1"):
        Schedule().rate(progress)


@pytest.mark.parametrize("depth", [0.0, 1.01, math.nan])
def test_depth_out_of_range(depth: float) -> None:
    with pytest.raises(DropError, match="depth has to be above 0"):
        Schedule().rate(0.5, depth)


def test_a_moment_outside_the_budget() -> None:
    for moment in ({"epoch": 10, "epochs": 10}, {"epoch": -1, "epochs": 10}):
        with pytest.raises(DropError, match="epoch has to be between 0 and 9"):
            Schedule().progress(**moment)
    for moment in ({"step": -1}, {"steps": 0}):
        with pytest.raises(DropError, match="step has to be"):
            Schedule().progress(**moment)


def test_the_grid_of_a_run() -> None:
    grid = rate_grid(Schedule(0.4, "linear", "linear", "step"), epochs=4, cells=2, steps_per_epoch=10)
    assert grid == [pytest.approx([0.05 * epoch, 0.1 * epoch]) for epoch in range(4)]
