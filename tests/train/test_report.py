import pytest

from nasdrop.drop import Path, PathDrop
from nasdrop.train.record import Recorder, read_metrics
from nasdrop.train.report import EpochReport, FitResult, record_epoch
from nasdrop.train.score import Score

PATHS = PathDrop(
    [Path("a", 0, 0, 0.5), Path("b", 0, 0, 0.5, identity=True), Path("c", 1, 1, 1.0), Path("d", 1, 1, 1.0)],
    exempt_identity=True,
)
RATES = {"a": 0.2, "b": 0.0, "c": 0.3, "d": 0.5, "head.dropout": 0.7}


def report(**changes):
    values = {"train_loss": 1.0, "train_accuracy": 0.5, "valid": None, "learning_rate": 0.1, "seconds": 2.0}
    return EpochReport(3, 10, **(values | changes))


def test_an_epoch_is_recorded_under_its_number(tmp_path, make_net):
    network = make_net()
    network.path_drop = PATHS
    with Recorder(tmp_path, tensorboard=False) as recorder:
        counts = {"planned": RATES, "realised": {"a": 0.25}, "silent": {"expected": 0.06, "realised": 0.05}}
        record_epoch(recorder, report(valid=Score(0.9, 0.3, 9, 10), memory_mib=9.5, **counts), network)
    (record,) = read_metrics(tmp_path / "metrics.jsonl")
    assert record["step"] == 3
    assert record["valid/accuracy"] == 0.9
    assert record["train/loss"] == 1.0
    assert record["drop/planned/cell_01"] == pytest.approx(0.4)
    assert record["drop/realised/cell_00"] == 0.25
    assert record["drop/realised/mean"] == 0.25
    assert (record["drop/silent/expected"], record["drop/silent/realised"]) == (0.06, 0.05)
    assert (record["train/memory_mib"], record["train/images_per_second"]) == (9.5, 0.0)


def test_a_report_comes_back_from_its_state_as_a_replayed_one():
    for valid in (None, Score(0.9, 0.3, 9, 10)):
        before = report(valid=valid, planned=RATES)
        after = EpochReport.from_state(before.state())
        assert after.replayed
        assert after.valid == valid
        assert {**vars(after), "replayed": False} == vars(before)


def test_the_result_has_the_last_score():
    score = Score(0.9, 0.3, 9, 10)
    assert FitResult((report(), report(valid=score))).valid == score
    assert FitResult(()).valid is None
