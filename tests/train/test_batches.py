import pytest
import torch
from torch import nn

from nasdrop.settings import TrainSettings
from nasdrop.train import Ranks
from nasdrop.train.batches import arrange, augmentation, eval_batches, memory_format, num_steps, train_batches
from nasdrop.train.data import Images

PLAIN = TrainSettings(batch_size=16)


def collect(data, settings=PLAIN, seed=0, epoch=0):
    batches = list(train_batches(data.train, data, settings, seed=seed, epoch=epoch))
    return torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches])


def stored(data, normalised):
    """Bytes again, image by image."""
    pixels = normalised * data.std[0] + data.mean[0]
    return [image.numpy().tobytes() for image in pixels.round().to(torch.uint8).contiguous()]


def test_an_epoch_shows_every_image_once_with_its_label(random_data):
    data = random_data()
    images, labels = collect(data)
    known = {
        image.numpy().tobytes(): int(label) for image, label in zip(data.train.pixels, data.train.labels, strict=True)
    }
    found = stored(data, images)
    assert sorted(found) == sorted(known)
    assert [known[key] for key in found] == labels.tolist()


def test_only_whole_batches_are_made_and_at_least_one(random_data):
    data = random_data(train=50)
    sizes = [len(labels) for _, labels in train_batches(data.train, data, PLAIN, seed=0, epoch=0)]
    assert sizes == [16, 16, 16]
    assert num_steps(data.train, 16) == 3
    assert num_steps(data.train, 100) == 1
    assert len(collect(data, TrainSettings(batch_size=100))[1]) == 50


def test_order_and_augmentation_are_a_function_of_seed_and_epoch(random_data):
    data = random_data()
    busy = TrainSettings(batch_size=16, crop_padding=1, flip=True, cutout=3)
    torch.manual_seed(1)
    first = collect(data, busy, 5, 3)
    torch.manual_seed(2)
    again = collect(data, busy, 5, 3)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    for seed, epoch in ((5, 4), (6, 3), (3, 5)):
        assert not torch.equal(collect(data, busy, seed, epoch)[1], first[1])


def test_each_switch_changes_the_images_and_nothing_else_does(random_data):
    data = random_data()
    plain, labels = collect(data)
    for change in ({"crop_padding": 2}, {"flip": True}, {"cutout": 4}):
        images, same = collect(data, TrainSettings(batch_size=16, **change))
        assert torch.equal(same, labels)
        assert not torch.equal(images, plain)
    assert (collect(data, TrainSettings(batch_size=16, cutout=4))[0] == 0).any()  # the mean, after normalising


@pytest.mark.parametrize(
    ("shape", "layout"), [((2, 6), None), ((2, 6, 6), torch.channels_last), ((2, 4, 4, 4), torch.channels_last_3d)]
)
def test_batches_are_channels_last_where_that_exists(random_data, shape, layout):
    data = random_data(shape)
    for batches in (
        train_batches(data.train, data, PLAIN, seed=0, epoch=0),
        eval_batches(data.train, data, batch_size=16, channels_last=True),
    ):
        images, _ = next(iter(batches))
        assert images.is_contiguous(memory_format=layout or torch.contiguous_format)
    images, _ = next(iter(eval_batches(data.train, data, batch_size=16, channels_last=False)))
    assert images.is_contiguous()
    assert memory_format(len(shape) + 1, channels_last=False) == torch.contiguous_format


def test_evaluation_keeps_the_order_and_the_rest(random_data):
    data = random_data(test=35)
    batches = list(eval_batches(data.test, data, batch_size=16, channels_last=True))
    assert [len(labels) for _, labels in batches] == [16, 16, 3]
    assert torch.equal(torch.cat([labels for _, labels in batches]), data.test.labels)
    expected = (data.test.pixels.float() - data.mean[0]) / data.std[0]
    assert torch.allclose(torch.cat([images for images, _ in batches]), expected)


def test_float_pixels_are_never_written_into(random_data):
    data = random_data()
    pixels = data.train.pixels.float()
    images = Images(pixels, data.train.labels)
    before = pixels.clone()
    list(train_batches(images, data, TrainSettings(batch_size=16, cutout=3), seed=0, epoch=0))
    list(eval_batches(images, data, batch_size=16, channels_last=True))
    assert torch.equal(pixels, before)


def test_only_weights_of_convolutions_are_laid_out_anew():
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3, 4, 5, 6))
            self.conv = nn.Conv2d(4, 4, 3)

    network = Packed()
    parameter = network.conv.weight
    arrange(network, torch.channels_last)
    assert network.conv.weight is parameter
    assert parameter.is_contiguous(memory_format=torch.channels_last)
    assert network.weight.is_contiguous()
    arrange(network, torch.contiguous_format)
    assert parameter.is_contiguous()


def test_processes_share_what_one_would_draw(random_data):
    data = random_data()
    settings = TrainSettings(batch_size=16, crop_padding=2, flip=True, cutout=3)
    whole = list(train_batches(data.train, data, settings, seed=1, epoch=2))
    parts = [list(train_batches(data.train, data, settings, seed=1, epoch=2, ranks=Ranks(r, 2))) for r in range(2)]
    for (images, labels), first, second in zip(whole, *parts, strict=True):
        assert torch.equal(torch.cat([first[0], second[0]]), images)
        assert torch.equal(torch.cat([first[1], second[1]]), labels)


def test_an_epoch_goes_on_from_any_step(random_data):
    data = random_data()
    settings = TrainSettings(batch_size=16, crop_padding=2, flip=True, cutout=3)
    whole = list(train_batches(data.train, data, settings, seed=1, epoch=2))
    generator = augmentation(torch.device("cpu"), 1, 2)
    begun = train_batches(data.train, data, settings, seed=1, epoch=2, generator=generator)
    next(begun), next(begun)
    rest = list(train_batches(data.train, data, settings, seed=1, epoch=2, first=2, generator=generator))
    assert len(rest) == len(whole) - 2
    assert all(torch.equal(rest[step][0], whole[step + 2][0]) for step in range(len(rest)))
