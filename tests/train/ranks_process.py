"""One of the processes of test_ranks.py: trains small networks with the others and saves what they end with.

Alone it is the oracle: it trains them on the whole batches.
"""

import contextlib
import sys
from pathlib import Path

import torch
from conftest import make_net, random_data
from torch import nn

from nasdrop.drop import Schedule
from nasdrop.settings import TrainSettings
from nasdrop.train import ALONE, Recorder, fit
from nasdrop.train.ranks import joined

SETTINGS = TrainSettings(batch_size=16, crop_padding=1, flip=True, cutout=2, learning_rate=0.05, checkpoint_steps=3)
CASES = {
    "global": {},
    "frozen": {"norm_statistics": "frozen"},
    "average": {"ema": 0.9, "label_smoothing": 0.1},
    "local": {"norm_statistics": "local"},
}


class Part(nn.Module):
    """A second branch that takes part only in rows whose first pixel is bright: in some processes, or in none."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.never = nn.Linear(64, 4), nn.Linear(64, 4), nn.Linear(64, 4)

    def forward(self, x):
        x = x.flatten(1)
        bright = x[:, 0] > 0
        y = self.first(x)
        if bright.any():
            y = y.index_add(0, bright.nonzero()[:, 0], self.second(x[bright]))
        return y


def train(case, ranks=ALONE, **options):
    network = make_net(classes=4, dropout=0.0)  # element-wise masks are each process's own
    settings = SETTINGS.model_copy(update=CASES[case])
    result = fit(network, random_data(), settings, schedule=Schedule(0.4), seed=3, epochs=2, ranks=ranks, **options)
    return network, result


def interrupted(case, ranks, path):
    """The same training, ended in the middle of its second epoch and taken up again."""
    count = []

    def stop(*_):
        count.append(None)
        if len(count) == 4 + 1 + 4:  # the first epoch and its evaluation; the checkpoint is of step 3
            raise KeyboardInterrupt

    hook = nn.modules.module.register_module_forward_pre_hook(lambda m, _: stop() if hasattr(m, "path_drop") else None)
    with contextlib.suppress(KeyboardInterrupt), hook_removed(hook):
        train(case, ranks, checkpoint=path)
    ranks.wait()
    return train(case, ranks, checkpoint=path)[0]


@contextlib.contextmanager
def hook_removed(hook):
    try:
        yield
    finally:
        hook.remove()


def make_part():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Part()


def train_part(ranks):
    network = make_part()
    fit(network, random_data(), SETTINGS.model_copy(update={"batch_size": 2, "cutout": 0}), epochs=1, ranks=ranks)
    return network


def main(folder):
    torch.set_num_threads(1)
    folder = Path(folder)
    with joined(torch.device("cpu")) as ranks:
        found = {}
        for case in CASES:
            with Recorder(folder / f"{case}-{ranks.rank}", tensorboard=False) as recorder:
                network, result = train(case, ranks, recorder=recorder)
            report = result.history[-1]
            found[case] = {
                "state": network.state_dict(),
                "valid": report.valid.loss,
                "loss": report.train_loss,
                "accuracy": report.train_accuracy,
            }
        found["resumed"] = interrupted("global", ranks, folder / "state.pt").state_dict()
        found["part"], found["untrained"] = train_part(ranks).state_dict(), make_part().state_dict()
    torch.save(found, folder / f"{ranks.rank}.pt")


if __name__ == "__main__":
    main(sys.argv[1])
