"""Single precision against double: no layout may err more than twice what one module an edge does.

Errors of one batch vary (a maximum that is taken elsewhere moves many numbers), so sizes are of all gradients together
and the median of three seeds counts.
"""

import copy
import statistics

import pytest
import torch
from torch import nn

from nasdrop.models.supernet import SuperNet
from nasdrop.resources import names
from nasdrop.space.fractal_space import FractalSpace, load_space
from nasdrop.space.space import SearchSpace

SPACES = [name for name in names("search_spaces") if not isinstance(load_space(name), FractalSpace)]

LAYOUTS = ("reference", "packed", "grouped")


def error_of(run, supernet, x, draw, exact):
    """Euclidean distance of all gradients from those in double precision."""
    _, found, _ = run(copy.deepcopy(supernet).float(), x.float(), draw)
    return sum((one.double() - other).square().sum() for one, other in zip(found, exact, strict=True)).sqrt().item()


def ratios_of(nets, run, x, draw):
    """What the other layouts err, over what the reference layout errs."""
    _, exact, _ = run(copy.deepcopy(nets["reference"]).double(), x, draw)
    errors = {layout: error_of(run, net, x, draw, exact) for layout, net in nets.items()}
    return {layout: error / errors["reference"] for layout, error in errors.items()}


def alike(build):
    """The layouts with equal weights; architecture weights that differ from each other."""
    nets = {layout: build(layout) for layout in LAYOUTS}
    for alpha in nets["reference"].alpha_parameters():
        nn.init.normal_(alpha)
    for supernet in nets.values():
        supernet.load_state_dict(nets["reference"].state_dict())
        supernet.path_drop.set_rates(0.3)
    return nets


def check_medians(found):
    for layout in LAYOUTS:
        ratios = [ratios[layout] for ratios in found]
        assert statistics.median(ratios) <= 2, (layout, ratios)


@pytest.mark.parametrize("space", SPACES)
def test_small_networks(space, make, run, images, draw_for):
    found = []
    rows, channels, seeds = (4, 2, 1) if space == "nasnet" else (8, 4, 3)  # its 13 operations on 10 edges take long
    for seed in range(seeds):
        torch.manual_seed(seed)
        nets = alike(lambda layout, size=channels: make(space, size, layout=layout))
        found.append(ratios_of(nets, run, images(rows), draw_for(nets["reference"], rows)))
    check_medians(found)


@pytest.mark.slow
def test_the_size_of_the_paper(run, draw_for):
    """16 channels, 8 cells, 32x32: some minutes on a core (make test-slow)."""
    found = []
    for seed in range(3):
        torch.manual_seed(seed)
        nets = alike(lambda layout: SuperNet(SearchSpace.load("darts"), layout=layout))
        x = torch.randn(8, 3, 32, 32, dtype=torch.float64)
        found.append(ratios_of(nets, run, x, draw_for(nets["reference"], 8)))
    check_medians(found)
