"""Images in memory and on disk answer alike: the same order, the same bytes, the same training."""

import os
import select
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nasdrop.errors import DataError
from nasdrop.settings import DataSettings, TrainSettings
from nasdrop.train import eval_batches, evaluate, fit, load, train_batches
from nasdrop.train.data import normalisation, split
from nasdrop.train.images import Images, StoredImages, joined


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """60 pictures of three classes, which differ in brightness, of several sizes."""
    root, dice = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for label, name in enumerate(("dark", "grey", "light")):
        (root / name).mkdir()
        for number in range(20):
            side = 10 + number % 3
            pixels = dice.integers(0, 60, (side, side + 2, 3)) + 90 * label
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number}.png")
    return root


def settings(folder, **changes):
    return DataSettings(name="folder", root=str(folder), **{"loader_workers": 0, **changes})


@pytest.fixture(scope="module")
def both(folder):
    """The same data in memory and on disk."""
    return load(settings(folder)), load(settings(folder, streaming=True))


def test_classes_channels_size_and_splits_are_found(both):
    memory, disk = both
    for data in both:
        assert data.classes == ("dark", "grey", "light")
        assert data.shape == (3, 11, 11)  # the median of the shorter sides
        assert [len(part) for part in (data.train, data.valid, data.test)] == [36, 12, 12]
        for part in (data.train, data.valid, data.test):
            assert torch.bincount(part.labels).tolist() == [len(part) // 3] * 3
    assert isinstance(memory.train, Images) and isinstance(disk.train, StoredImages)
    assert memory.mean == disk.mean and memory.std == disk.std
    assert "10 x 10" not in memory.note and "12 x 10 to 14 x 12 pixels, brought to 11 x 11 in 3 channels" in memory.note
    assert "read from disk" in disk.note and "the test split is ours" in disk.note


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_bytes_in_the_same_order(folder, both, workers):
    memory, disk = both[0], load(settings(folder, streaming=True, loader_workers=workers))
    busy = TrainSettings(batch_size=8, crop_padding=2, flip=True, cutout=3)
    before = torch.get_rng_state()
    for epoch in (0, 1):
        pairs = [list(train_batches(data.train, data, busy, seed=3, epoch=epoch)) for data in (memory, disk)]
        assert len(pairs[0]) == 4
        for (images, labels), (other, same) in zip(*pairs, strict=True):
            assert torch.equal(images, other) and torch.equal(labels, same)
    for part in ("valid", "test"):
        one, two = (list(eval_batches(getattr(d, part), d, batch_size=5, channels_last=True)) for d in (memory, disk))
        assert [len(labels) for _, labels in one] == [5, 5, 2]
        assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(one, two, strict=True))
    assert torch.equal(before, torch.get_rng_state())


def test_a_training_from_disk_ends_with_the_bits_of_one_from_memory_also_when_it_is_resumed(both, make_net, tmp_path):
    recipe = TrainSettings(epochs=3, batch_size=8, learning_rate=0.05, crop_padding=1)
    nets = [make_net(channels=3, classes=3) for _ in range(3)]
    first = fit(nets[0], both[0], recipe, seed=1)
    second = fit(nets[1], both[1], recipe, seed=1)
    fit(nets[2], both[1], recipe, seed=1, epochs=1, full_epochs=3, checkpoint=tmp_path / "x.pt")
    fit(nets[2], both[1], recipe, seed=1, checkpoint=tmp_path / "x.pt")
    assert first.valid == second.valid
    for name, value in nets[0].state_dict().items():
        assert torch.equal(value, nets[1].state_dict()[name]), name
        assert torch.equal(value, nets[2].state_dict()[name]), name
    assert evaluate(nets[0], both[0].test, both[0]) == evaluate(nets[1], both[1].test, both[1])


def test_parts_of_images_on_disk_are_images_on_disk(both):
    for data in both:
        first, rest = split(data.train, 0.25, 0)
        assert (len(first), len(rest), first.shape) == (9, 27, data.shape)
        assert torch.equal(joined(first, rest).labels, torch.cat([first.labels, rest.labels]))
        merged = data.merged()
        assert len(merged.train) == 48 and len(merged.valid) == 0
        assert len(data.limited(9).train) == 9
    memory, disk = (next(data.merged().train.batches([slice(None)]))[0] for data in both)
    assert torch.equal(memory, disk)
    with pytest.raises(TypeError):
        joined(both[0].train, both[1].train)


def test_statistics_of_many_pictures_are_of_a_stratified_sample(both, monkeypatch):
    monkeypatch.setattr("nasdrop.train.data._SAMPLE", 9)
    mean, std = normalisation(both[1].train)
    assert np.abs(np.array(mean) - both[1].mean).max() < 10 and len(std) == 3


def test_settings_change_size_and_channels(folder):
    data = load(settings(folder, size=6, channels=1))
    assert data.shape == (1, 6, 6)
    # Grey by the weights of ITU-R 601, which Pillow documents.
    colour = load(settings(folder, size=6)).train.pixels.double()
    grey = (colour * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1)
    assert (grey - data.train.pixels[:, 0]).abs().max() <= 1.5


def test_pictures_of_one_size_keep_it_and_mixed_channels_become_rgb(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(6):
            Image.new("L" if number % 2 or label == "a" else "RGB", (9, 5)).save(tmp_path / label / f"{number}.png")
    assert load(settings(tmp_path)).shape == (3, 5, 9)
    assert load(settings(tmp_path, size=4)).shape == (3, 4, 4)


def test_pictures_stay_on_disk_where_they_would_fill_the_memory(folder, monkeypatch):
    assert isinstance(load(settings(folder)).train, Images)
    monkeypatch.setattr("nasdrop.train.sizes._MEMORY_SHARE", 10**12)
    assert isinstance(load(settings(folder)).train, StoredImages)
    assert isinstance(load(settings(folder, streaming=False)).train, Images)


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_files_are_told_together_one_line_each(folder, tmp_path, workers):
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(20):
            Image.new("L", (4, 4)).save(tmp_path / label / f"{number:02d}.png")
    for number in range(3):
        (tmp_path / "b" / f"{number:02d}.png").write_bytes(b"\x89PNG" + bytes(number))
    for streaming in (False, True):
        with pytest.raises(DataError) as caught:
            load(settings(tmp_path, loader_workers=workers, streaming=streaming))
        assert [line.split(": ")[0] for line in caught.value.lines] == [
            str(tmp_path / "b" / f"{number:02d}.png") for number in range(3)
        ]
    for number in range(20):
        (tmp_path / "a" / f"{number:02d}.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        load(settings(tmp_path, loader_workers=workers))
    assert len(caught.value.lines) == 11 and caught.value.lines[-1] == "and 13 more such files"


def test_a_file_that_is_damaged_while_training_runs_is_named(folder, tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(10):
            Image.new("L", (4, 4)).save(tmp_path / label / f"{number}.png")
    data = load(settings(tmp_path, streaming=True))
    for path in tmp_path.glob("*/*.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"[ab]/\d.png: cannot be read"):
        list(train_batches(data.train, data, TrainSettings(batch_size=4), seed=0, epoch=0))


def test_a_folder_of_unreadable_pictures_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"x.png: is damaged"):
        load(settings(tmp_path))


def test_a_csv_and_a_folder_of_the_same_files_give_the_same_data(folder):
    names = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*.png"))
    (folder / "list.csv").write_text("path,label\n" + "".join(f"{name},{name.split('/')[0]}\n" for name in names))
    listed = load(DataSettings(name="csv", root=str(folder), file="list.csv", loader_workers=0))
    found = load(settings(folder))
    for part in ("train", "valid", "test"):
        assert torch.equal(getattr(listed, part).pixels, getattr(found, part).pixels)
    assert listed.classes == found.classes


def test_folders_of_parts_are_the_splits(folder, tmp_path):
    for part, name in (("train", "dark"), ("train", "light"), ("test", "dark"), ("test", "light")):
        (tmp_path / part).mkdir(exist_ok=True)
        (tmp_path / part / name).symlink_to(folder / name)
    data = load(settings(tmp_path))
    assert [len(split) for split in (data.train, data.valid, data.test)] == [30, 10, 40]
    assert "ours" not in data.note


def test_the_folder_must_be_named():
    with pytest.raises(DataError, match=r"data.root: must name the folder"):
        load(DataSettings(name="folder"))
    with pytest.raises(DataError, match=r"data.file: must name the .csv file"):
        load(DataSettings(name="csv"))


STREAM = """
import sys
from nasdrop.settings import DataSettings, TrainSettings
from nasdrop.train import load, train_batches
data = load(DataSettings(name="folder", root=sys.argv[1], size=200, streaming=True, loader_workers=1))
batches = train_batches(data.train, data, TrainSettings(batch_size=2), seed=0, epoch=0)
next(batches)
print(*open(f"/proc/self/task/{__import__('os').getpid()}/children").read().split(), flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's /proc")
def test_workers_end_when_their_process_is_killed(folder):
    """Their pipe is full then: nobody reads the batches that they have decoded ahead."""
    process = subprocess.Popen(
        [sys.executable, "-c", STREAM, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    workers = [int(number) for number in process.stdout.readline().split()]
    assert len(workers) == 1
    process.kill()
    process.communicate()
    handle = os.pidfd_open(workers[0]) if Path(f"/proc/{workers[0]}").exists() else None
    if handle is not None:
        ended, _, _ = select.select([handle], [], [], 60)
        os.close(handle)
        assert ended
