"""One of the processes of test_shared_search.py: searches one epoch with the others and saves what it ends with."""

import sys
from pathlib import Path

import torch
from conftest import Listener, _experiment, _training

from nasdrop.searchers.gradient.loop import Loop
from nasdrop.train.ranks import joined


def main(folder):
    torch.set_num_threads(1)
    folder = Path(folder)
    listener = Listener()
    with joined(torch.device("cpu")) as ranks:
        experiment = _experiment(p=0.4, epochs=1, hessian_epochs=1)
        run = folder / "run"
        loop = Loop(
            _training(run, experiment), experiment.search, checkpoint=run / "search.pt", observer=listener, ranks=ranks
        )
        mean = torch.full((3,), float(ranks.rank))
        ranks.average([mean, None])
        draw = loop.part.paths(8, 0, 0, "")
        genotype = loop.run()
        state = {
            "supernet": loop.part.supernet.state_dict(),
            "report": loop.history[0].state(),
            "genotype": genotype.to_json(),
            "mean": mean,
            "factors": draw.factors,
            "told": len(listener.epochs),
            "rank": ranks.rank,
        }
    torch.save(state, folder / f"{ranks.rank}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
