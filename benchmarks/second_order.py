"""How far a finite difference is from the exact mixed product of DARTS's second order, against its radius.

    python benchmarks/second_order.py

A supernet with fresh weights, random images, fp64, the same masks in all passes; the direction is the gradient of the
alphas' batch, as in the search. Prints Markdown.
"""

import torch

from nasdrop.models.supernet import SuperNet
from nasdrop.searchers.gradient.learner import Learner
from nasdrop.searchers.gradient.mixture import Columns
from nasdrop.searchers.gradient.second_order import directional, norm
from nasdrop.searchers.gradient.strategies import make_strategy
from nasdrop.settings import DartsSettings
from nasdrop.space import SearchSpace

RADII = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
ROWS, SIDE, CHANNELS, CELLS = 16, 8, 8, 3


def make_learner(space_name, p):
    torch.manual_seed(0)
    space = SearchSpace.load(space_name)
    supernet = SuperNet(space, channels=CHANNELS, num_cells=CELLS).double().train()
    supernet.path_drop.set_rates(p)
    settings = DartsSettings(kind="gradient", order=2, exact=True)
    return Learner(supernet, make_strategy(settings, Columns.of(supernet), space), settings)


def make_batch(seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(ROWS, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    return images, torch.randint(10, (ROWS,), generator=generator)


def relative_errors(space_name, p):
    learner, train, valid = make_learner(space_name, p), make_batch(1), make_batch(2)
    path_drop = learner.supernet.path_drop
    draws = [path_drop.draw(path_drop.rates, ROWS, 0, 0, step) for step in range(2)]
    loss, _ = learner.loss(valid, learner.expected(), draws[1])
    direction = torch.autograd.grad(loss, learner.weights, allow_unused=True, materialize_grads=True)
    exact = learner.mixed_product(train, draws[0], direction)
    for radius in RADII:
        found = directional(lambda: learner.alpha_gradient(train, draws[0]), learner.weights, direction, radius)
        yield float(norm([a - b for a, b in zip(found, exact, strict=True)]) / norm(exact))


def main():
    torch.set_num_threads(1)
    size = f"{CHANNELS} channels, {CELLS} cells, {ROWS} random images of {SIDE}x{SIDE}"
    print(f"Relative error of the central difference, fp64, {size}, torch {torch.__version__}\n")
    print("| space | p | " + " | ".join(f"radius {radius:g}" for radius in RADII) + " |")
    print("|---" * (len(RADII) + 2) + "|")
    for space in ("robust_s3", "darts"):
        for p in (0.0, 0.4):
            print(f"| {space} | {p} | " + " | ".join(f"{error:.1e}" for error in relative_errors(space, p)) + " |")


if __name__ == "__main__":
    main()
