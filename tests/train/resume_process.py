"""A training that another process may kill: `resume_process.py CHECKPOINT RESULT [PASS]`.

Before forward pass number PASS it says "ready" and waits for a line on its input; at the end it writes the network's
state to RESULT.
"""

import sys
from pathlib import Path

import torch
from conftest import make_net, random_data

from nasdrop.drop import Schedule
from nasdrop.settings import TrainSettings
from nasdrop.train import fit

SETTINGS = TrainSettings(
    batch_size=16, crop_padding=1, flip=True, cutout=2, learning_rate=0.05, ema=0.9, checkpoint_steps=3
)
OPTIONS = {"schedule": Schedule(0.3), "seed": 3, "epochs": 4}


def main(checkpoint, result, stop=-1):
    torch.set_num_threads(1)
    network = make_net(classes=4)

    def wait(module, _inputs):
        if len(module.seen) == int(stop):
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            sys.stdin.readline()

    network.register_forward_pre_hook(wait)
    fit(network, random_data(), SETTINGS, checkpoint=Path(checkpoint), **OPTIONS)
    torch.save(network.state_dict(), result)


if __name__ == "__main__":
    main(*sys.argv[1:])
