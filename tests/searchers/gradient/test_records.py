"""What a search by gradient leaves for TensorBoard: shares of every edge, the cell where it changes, the edges."""

import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

from nasdrop.train import read_metrics


def events_of(folder):
    return EventAccumulator(str(folder / "events" / "search"), size_guidance={"images": 0, "tensors": 0}).Reload()


def layout_of(events):
    (event,) = events.Tensors("custom_scalars__config__")
    return Layout.FromString(event.tensor_proto.string_val[0])


def test_the_page_of_a_search(make_loop, tmp_path):
    loop = make_loop(epochs=3, alpha_learning_rate=0.5)
    loop.run()
    events = events_of(tmp_path / "run")
    changed = [report.epoch for report in loop.history if report.epoch == 0 or report.changes]
    assert [event.step for event in events.Images("cell")] == changed
    assert [event.step for event in events.Images("drop/edges_over_epochs")] == [0, 1, 2]
    groups = {category.title: [chart.title for chart in category.chart] for category in layout_of(events).category}
    assert set(groups) == {
        "Search", "Drop schedule", "Drop rate an edge: normal", "Drop rate an edge: reduction",
        "Shares of the operations: normal", "Shares of the operations: reduction",
    }  # fmt: skip
    assert groups["Shares of the operations: normal"][0] == "edge 00: 0 to 2"
    assert "_hparams_/session_start_info" in events.PluginTagToContent("hparams")


def test_shares_of_an_edge_are_those_of_the_alphas_and_sum_to_one(make_loop, tmp_path):
    loop = make_loop(epochs=2)
    loop.run()
    last = read_metrics(tmp_path / "run" / "metrics.jsonl")[-1]
    names = loop.part.strategy.columns.operations["normal"]
    for edge, row in enumerate(loop.part.shares()["normal"].tolist()):
        shares = [last[f"alpha/normal/edge_{edge:02d}/{name}"] for name in names]
        assert shares == pytest.approx(row)
        assert sum(shares) == pytest.approx(1.0)


def test_operation_groups_and_element_drop_of_skips_are_told(make_loop, tmp_path):
    drop = {"policy": "groups", "mode": "batch", "p": 0.3}
    make_loop("groups", strategy="drop_nas", drop=drop, space="darts", epochs=1, num_cells=3).run()
    (record,) = read_metrics(tmp_path / "groups" / "metrics.jsonl")
    assert record["drop/planned/operation/skip_connect"] > 0
    assert 0 <= record["drop/realised/operation/sep_conv_3x3"] <= 1
    assert not any(tag.startswith("drop/planned/cell") for tag in record)
    stages = {"stage_cells": [3], "stage_operations": [4], "stage_skip_drop": [0.6], "alpha_start": 0}
    make_loop("skips", strategy="p_darts", epochs=2, **stages).run()
    first, second = read_metrics(tmp_path / "skips" / "metrics.jsonl")
    assert 0.6 >= first["drop/planned/skip_elements"] > second["drop/planned/skip_elements"] > 0


def test_a_strategy_without_alphas_records_no_shares(make_loop, tmp_path):
    make_loop(strategy="one_shot", epochs=1, cells=2, statistics_batches=1).run()
    (record,) = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert not any(tag.startswith("alpha/") for tag in record)
    assert json.dumps(record)
    assert not any("Shares" in category.title for category in layout_of(events_of(tmp_path / "run")).category)
