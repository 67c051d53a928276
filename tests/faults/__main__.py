"""`python -m tests.faults --rounds 2000 --seed 1 --kinds table,gradient`: rounds of kills, and a table of what held."""

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.driver import Driver, Tally
from tests.faults.kinds import KINDS
from tests.faults.process import adopt_orphans

SORTS = {
    "lost": ("lost", "were wanted", "are not over"),
    "double": ("twice",),
    "corrupt": (": broken: ", "left behind"),
    "bits": ("differs", "elsewhere"),
    "tracebacks": ("printed", ".log:", "exit code", "hangs", "cannot be checked"),
}
"""What may be wrong -> the words by which it is told."""


def main() -> int:
    """Run rounds; 1 if anything did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="of each kind")
    parser.add_argument("--seconds", type=float, default=1e9, help="no round of a kind starts after this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default=",".join(KINDS), help="name, or name:rounds, with commas")
    parser.add_argument("--folder", type=Path, help="keep what went wrong here")
    given = parser.parse_args()
    _import_all()
    adopt_orphans()
    tallies = {}
    with tempfile.TemporaryDirectory() as scratch:
        for asked in given.kinds.split(","):
            name, _, rounds = asked.partition(":")
            tallies[name] = tally = Tally()
            driver = Driver(name, (given.folder or Path(scratch)) / name, given.seed)
            deadline = time.monotonic() + given.seconds
            for number in range(int(rounds or given.rounds)):
                if time.monotonic() > deadline:
                    break
                driver.round(number, tally)
    _print(tallies)
    return int(any(tally.wrong for tally in tallies.values()))


def _import_all() -> None:
    """Import here what commands import when they run, so that forked ones need not."""
    commands = ("search", "worker", "export", "status", "show")
    rooms = ("nasdrop.experiment", "nasdrop.worker", "nasdrop.trained", "sklearn.datasets", "torch._dynamo")
    tools = ("nasdrop.view.live", "torch.utils.tensorboard")
    for name in (*(f"nasdrop.cli.{command}" for command in commands), *rooms, *tools):
        importlib.import_module(name)


def _print(tallies: dict[str, Tally]) -> None:
    lines = [f"| kind | rounds | kills | {' | '.join(SORTS)} | s a round |", f"|---|{'---|' * (len(SORTS) + 3)}"]
    for name, tally in tallies.items():
        counts = " | ".join(str(tally.count(*words)) for words in SORTS.values())
        pace = tally.seconds / max(1, tally.rounds)
        lines.append(f"| {name} | {tally.rounds} | {tally.kills} | {counts} | {pace:.2f} |")
    lines += [line for tally in tallies.values() for line in tally.wrong]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
