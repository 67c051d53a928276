"""Each paper's schedule in the first and the last epoch, and the tables of its code base."""

import math

import pytest

from nasdrop.drop import CURVES, POLICIES, PRESETS, Path, PathDrop, Schedule, make_schedule, preset
from nasdrop.errors import DropError

PAPERS = {
    "darts", "robust-darts", "nasnet-v1", "nasnet-v2", "nasnet-v3", "amoebanet", "stochastic-depth", "p-darts",
    "drop-nas", "fractalnet", "enas", "timm-linear",
}  # fmt: skip


def at_epoch(schedule: Schedule, epoch: int, epochs: int, depth: float = 1.0) -> float:
    return schedule.rate(schedule.progress(epoch=epoch, epochs=epochs, step=epoch, steps=epochs), depth)


def test_every_paper_has_its_source_and_a_policy_that_exists() -> None:
    assert set(PRESETS) == PAPERS
    for name, entry in PRESETS.items():
        assert entry.source, name
        assert entry.policy in POLICIES, name
        path = Path("a", 0, 0, 1.0, operation="none", identity=True, edge=0, column=0)
        PathDrop([path], entry.policy, entry.mode, exempt_identity=entry.exempt_identity)


def test_darts_starts_at_0_and_never_reaches_p() -> None:
    assert at_epoch(preset("darts"), 0, 600) == 0.0
    assert at_epoch(preset("darts"), 599, 600) == pytest.approx(0.199667, abs=1e-6)
    assert PRESETS["darts"].exempt_identity


def test_robust_darts_reaches_p_in_the_last_epoch() -> None:
    assert at_epoch(preset("robust-darts", 0.6), 0, 50) == 0.0
    assert at_epoch(preset("robust-darts", 0.6), 49, 50) == 0.6
    assert not PRESETS["robust-darts"].exempt_identity


@pytest.mark.parametrize(
    ("version", "keeps"),
    [("v1", (1, 0.6, 0.8, 0.8, 0.6)), ("v2", (0.98, 0.98, 0.8, 0.6, 0.6)), ("v3", (1, 0.98, 0.9, 0.8, 0.6))],
)
def test_nasnet(version: str, keeps: tuple[float, ...]) -> None:
    """slim's table: K = 0.6, M = 20, T = 937,500 at (i, t) = (0, 0), (0, T), (9, T/2), (19, T/2), (19, T)."""
    schedule, total = preset(f"nasnet-{version}"), 937_500
    for (i, t), keep in zip([(0, 0), (0, total), (9, total // 2), (19, total // 2), (19, total)], keeps, strict=True):
        progress = schedule.progress(step=t, steps=total)
        assert 1 - schedule.rate(progress, (i + 1) / 20) == pytest.approx(keep, abs=1e-12)


def test_nasnet_v3_is_the_product_of_v1_and_v2() -> None:
    v1, v2, v3 = (preset(f"nasnet-v{version}", 1.0) for version in (1, 2, 3))
    for u in (0.0, 0.3, 1.0):
        for depth in (0.05, 0.5, 1.0):
            assert v3.rate(u, depth) == pytest.approx(v1.rate(u, depth) * v2.rate(u, depth))


def test_amoebanet_is_version_1_with_keep_0_7() -> None:
    schedule = preset("amoebanet")
    assert [schedule.rate(u, 0.05) for u in (0.0, 0.5, 1.0)] == pytest.approx([0.0, 0.15, 0.3])


def test_stochastic_depth() -> None:
    rates = [preset("stochastic-depth").rate(0.0, (i + 1) / 12) for i in range(12)]
    assert rates == pytest.approx([0.5 * (i + 1) / 12 for i in range(12)])
    assert rates[:2] == pytest.approx([0.0417, 0.0833], abs=5e-5)
    assert PRESETS["stochastic-depth"].mode == "batch"


def test_timm_s_first_block_never_drops() -> None:
    rates = [preset("timm-linear", 0.5).rate(0.0, (i + 1) / 12, cells=12) for i in range(12)]
    assert rates == pytest.approx([0.5 * i / 11 for i in range(12)])
    assert rates[1] == pytest.approx(0.0455, abs=5e-5)


def test_p_darts_falls_jumps_back_and_decays() -> None:
    table = {0: 0.672, 5: 0.532, 9: 0.42, 10: 0.7, 11: 0.5731, 15: 0.2575, 20: 0.0947, 24: 0.0426}
    schedule = preset("p-darts", 0.7)
    for epoch, rate in table.items():
        assert at_epoch(schedule, epoch, 25) == pytest.approx(rate, abs=5e-5)


def test_drop_nas_gives_an_operation_the_fourth_root() -> None:
    assert preset("drop-nas").rate(0.5) ** 0.25 == pytest.approx(0.0740083, abs=1e-7)


def test_fractalnet_is_constant() -> None:
    assert preset("fractalnet").rate(0.0) == preset("fractalnet").rate(1.0) == 0.15


def test_enas_is_one_step_ahead() -> None:
    schedule, layers = preset("enas"), 6
    for t, i in ((0, 0), (99, 7), (49, 3)):
        keep = 1 - min(1, (t + 1) / 100) * (i + 1) / (layers + 2) * 0.4
        rate = schedule.rate(schedule.progress(step=t, steps=100), (i + 1) / (layers + 2))
        assert 1 - rate == pytest.approx(keep, abs=1e-12)
    assert schedule.progress(step=250, steps=100) == 1.0


@pytest.mark.parametrize("name", [*CURVES, *PRESETS])
def test_make_schedule_takes_curves_and_papers(name: str) -> None:
    assert make_schedule(name, 0.125).p == 0.125
    changed = make_schedule(name, 0.125, depth="linear", clock="step")
    assert (changed.depth, changed.clock) == ("linear", "step")
    kept = make_schedule(name, 0.125, depth="preset", clock="preset")
    assert kept == (preset(name, 0.125) if name in PRESETS else Schedule(0.125, name))
    own = PRESETS[name].schedule.p if name in PRESETS else 0.2
    assert make_schedule(name).p == own


@pytest.mark.parametrize("name", ["darst", "lineer"])
def test_an_unknown_name_gets_the_nearest(name: str) -> None:
    with pytest.raises(DropError, match=r"did you mean '(darts|linear)'"):
        make_schedule(name)


def test_preset_refuses_bad_names_and_rates() -> None:
    with pytest.raises(DropError, match="no preset 'nasnet'"):
        preset("nasnet")
    for p in (1.5, math.nan):
        with pytest.raises(DropError, match="between 0 and 1"):
            preset("darts", p)
