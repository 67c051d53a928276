import io
import json
import math
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from nasdrop.errors import RunError, RunFolderError
from nasdrop.train.record import Recorder, read_metrics


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_numbers_go_to_json_lines_and_to_tensorboard(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.scalar("train/loss", 0.5, 0)
        recorder.scalars({"train/loss": 0.25, "valid/accuracy": 0.75}, 1)
        recorder.text("note", "**hello**")
        recorder.layout({"Drop": {"rates": ["Multiline", ["drop/.*"]]}})
    records = lines(tmp_path / "metrics.jsonl")
    assert [record["step"] for record in records] == [0, 1, 0]
    assert records[1]["valid/accuracy"] == 0.75
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(0, 0.5), (1, 0.25)]
    assert "note/text_summary" in events.Tags()["tensors"]
    assert "custom_scalars__config__" in events.Tags()["tensors"]


def test_a_line_is_on_disk_before_the_recorder_closes(tmp_path):
    recorder = Recorder(tmp_path, tensorboard=False)
    recorder.scalar("a", 1.0, 0)
    assert read_metrics(tmp_path / "metrics.jsonl")[0]["a"] == 1.0
    recorder.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_several_trainings_share_a_file(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    for run in ("trial-0", "trial-1"):
        with Recorder(tmp_path / run, metrics=metrics, run=run, tensorboard=False) as recorder:
            recorder.scalar("a", 1.0, 0)
    assert [record["run"] for record in read_metrics(metrics)] == ["trial-0", "trial-1"]


def test_lines_of_several_writers_never_mix(tmp_path):
    metrics = tmp_path / "metrics.jsonl"

    def write(run):  # each with a file of its own, so that the lock works as between processes
        with Recorder(metrics.parent, metrics=metrics, run=run, tensorboard=False) as recorder:
            for step in range(200):
                recorder.scalars({f"tag{i}": step for i in range(50)}, step)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, "abc"))
    records = read_metrics(metrics)
    assert len(records) == 600
    assert all(record["tag49"] == record["step"] for record in records)


def test_what_was_recorded_twice_counts_once(tmp_path):
    with Recorder(tmp_path, tensorboard=False) as recorder:
        recorder.scalars({"a": 1.0, "b": 1.0}, 0)
        recorder.scalars({"a": 2.0}, 1)
        recorder.scalars({"a": 3.0}, 0)
    records = read_metrics(tmp_path / "metrics.jsonl")
    assert [(record["step"], record["a"]) for record in records] == [(0, 3.0), (1, 2.0)]
    assert records[0]["b"] == 1.0


def test_numbers_that_are_not_finite_stay_valid_json(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.scalars({"a": math.nan, "b": math.inf}, 0)
    assert lines(tmp_path / "metrics.jsonl")[0]["a"] is None
    (record,) = read_metrics(tmp_path / "metrics.jsonl")
    assert math.isnan(record["a"])
    assert math.isnan(record["b"])


def test_a_torn_last_line_is_left_out_and_cut_off_before_the_next(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    with Recorder(tmp_path, tensorboard=False) as recorder:
        recorder.scalar("a", 1.0, 0)
        recorder.scalar("a", 2.0, 1)
    whole = metrics.read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(len(whole)):
        metrics.write_bytes(whole[:length])
        assert len(read_metrics(metrics)) == (length >= first)
        with Recorder(tmp_path, tensorboard=False) as recorder:
            recorder.scalar("a", 3.0, 2)
        assert read_metrics(metrics)[-1]["a"] == 3.0
        assert len(read_metrics(metrics)) == 1 + (length >= first)


@pytest.mark.parametrize("damage", [b"garbage", b"[1]", b"{}", b'{"run": "", "step": [1]}', b"\xff\xfe", b'"text"'])
def test_damage_in_the_middle_is_refused_with_its_line(tmp_path, damage):
    metrics = tmp_path / "metrics.jsonl"
    good = b'{"run": "", "step": 0, "time": 0, "a": 1}\n'
    metrics.write_bytes(good + damage + b"\n" + good)
    with pytest.raises(RunFolderError, match=r"metrics.jsonl: line 2 is damaged"):
        read_metrics(metrics)


def test_what_cannot_be_written_or_read_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(RunFolderError, match=r"none\.jsonl: cannot be read"):
        read_metrics(tmp_path / "none.jsonl")
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        Recorder(tmp_path / "file" / "events")
    recorder = Recorder(tmp_path, tensorboard=False)
    recorder.scalar("a", 1.0, 0)
    before = recorder.path.read_bytes()

    class Full:
        """A disk with room for ten bytes more."""

        def __init__(self, file):
            self.file, self.room = file, 10

        def write(self, content):
            if self.room == 0:
                raise OSError(28, "No space left on device")
            written, self.room = self.file.write(content[: self.room]), 0
            return written

        def __getattr__(self, name):
            return getattr(self.file, name)

    monkeypatch.setattr(recorder, "_file", Full(recorder._file))
    with pytest.raises(RunError, match="No space left on device"):
        recorder.scalar("a", 2.0, 1)
    assert recorder.path.read_bytes() == before
    recorder.close()


def test_pictures_and_settings_go_to_tensorboard_alone(tmp_path):
    file = io.BytesIO()
    Image.new("RGB", (7, 5), (200, 30, 40)).save(file, "png")
    with Recorder(tmp_path) as recorder:
        recorder.hparams({"drop.p": 0.2, "drop.policy": "edge", "train.flip": True}, ["valid/accuracy"])
        recorder.image("cell", file.getvalue(), 3)
        recorder.scalar("valid/accuracy", 0.5, 0)
    assert [set(line) - {"run", "step", "time"} for line in lines(tmp_path / "metrics.jsonl")] == [{"valid/accuracy"}]
    events = EventAccumulator(str(tmp_path)).Reload()
    (picture,) = events.Images("cell")
    assert (picture.step, picture.width, picture.height) == (3, 7, 5)
    with Image.open(io.BytesIO(picture.encoded_image_string)) as image:
        assert image.getpixel((3, 3)) == (200, 30, 40)
    start = HParamsPluginData.FromString(events.PluginTagToContent("hparams")["_hparams_/session_start_info"])
    values = start.session_start_info.hparams
    assert (values["drop.p"].number_value, values["drop.policy"].string_value) == (0.2, "edge")
    assert [event.value for event in events.Scalars("valid/accuracy")] == [0.5]


def test_without_tensorboard_pictures_and_settings_are_left_out(tmp_path):
    with Recorder(tmp_path, tensorboard=False) as recorder:
        recorder.hparams({"drop.p": 0.2}, [])
        recorder.image("cell", b"", 0)
        recorder.layout({})
    assert lines(tmp_path / "metrics.jsonl") == []
