"""One of the processes of test_distributed.py: trains two steps under DDP and saves what it drew and what came out.

Called as `python gloo_worker.py RANK WORLD_SIZE FOLDER`; a world of one is the reference.
"""

import sys
from pathlib import Path as File

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nasdrop.drop import Path, PathDrop

ROWS = 12


class Columns(nn.Module):
    """Three columns into one join, and three edges into one node; only the drawn column runs under global drop."""

    def __init__(self) -> None:
        super().__init__()
        self.columns = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.edges = nn.ModuleList(nn.Linear(4, 2) for _ in range(3))
        self.join = PathDrop([Path(f"{i}", 0, 0, 1.0, column=i) for i in range(3)], "fractal", "batch")
        self.node = PathDrop([Path(f"{i}", 0, 0, 1.0) for i in range(3)])

    def forward(self, x: Tensor, join: Tensor, choice: int, node: Tensor) -> Tensor:
        ran = range(3) if choice < 0 else [choice]
        x = sum(self.columns[i](x) * join[i][:, None] / 3 for i in ran).tanh()
        return sum(edge(x) * factor[:, None] for edge, factor in zip(self.edges, node, strict=True))


def main(rank: int, world_size: int, folder: File) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store{world_size}", rank=rank, world_size=world_size)
    torch.manual_seed(0)
    network = Columns()
    for path_drop in (network.join, network.node):
        path_drop.set_rates(0.4)
    # Skipping a column leaves its weights without a gradient; edges that are only multiplied by 0 need no such switch.
    parallel = DistributedDataParallel(network, find_unused_parameters=True)
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    rows = ROWS // world_size
    record: dict[str, list[Tensor]] = {"node": [], "join": [], "choice": [], "output": []}
    for step in range(8):
        x = torch.randn(ROWS, 4, generator=torch.Generator().manual_seed(step))[rank * rows : (rank + 1) * rows]
        share = {"rank": rank, "world_size": world_size}
        join = network.join.draw(network.join.rates, rows, 7, 0, step, **share)
        node = network.node.draw(network.node.rates, rows, 7, 1, step, **share)
        assert join.factors is not None
        assert join.choices is not None
        assert node.factors is not None
        output = parallel(x, join.factors, int(join.choices), node.factors)
        optimiser.zero_grad()
        output.square().mean().backward()
        optimiser.step()
        drawn = {"node": node.factors, "join": join.factors, "choice": join.choices, "output": output.detach()}
        for name, value in drawn.items():
            record[name].append(value.clone())
    edges_only(network, rank, world_size)
    torch.save(record | {"weights": [p.detach() for p in network.parameters()]}, folder / f"{world_size}-{rank}.pt")
    dist.destroy_process_group()


def edges_only(network: Columns, rank: int, world_size: int) -> None:
    """Factors alone leave no parameter unused: DDP's default finds every gradient."""
    parallel = DistributedDataParallel(network)
    for step in range(3):
        share = {"rank": rank, "world_size": world_size}
        node = network.node.draw(network.node.rates, 2, 1, 0, step, **share)
        parallel(torch.ones(2, 4), torch.ones(3, 2), -1, node.factors).sum().backward()
    network.zero_grad()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), File(sys.argv[3]))
