"""Trains DARTS_V2 in small: `train_process.py FOLDER [STEP]`; before step STEP it says "ready" and waits for a line."""

import sys
from pathlib import Path

import nasdrop
from nasdrop.train.trainer import Trainer

SETTINGS = (
    "network.channels=4", "network.auxiliary=true", "train.epochs=2", "train.ema=0.9", "train.cutout=2", "threads=1",
    "train.checkpoint_steps=3", "train.batch_size=128", "train.label_smoothing=0.1", "final.seeds=1",
)  # fmt: skip


def main(folder, stop=-1):
    taken, take = [], Trainer._take_step

    def take_step(*arguments):
        if len(taken) == int(stop):
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            sys.stdin.readline()
        taken.append(None)
        take(*arguments)

    Trainer._take_step = take_step
    nasdrop.train_cell("DARTS_V2", "digits", *SETTINGS, out=Path(folder))
    sys.stdout.write(f"{len(taken)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
