"""What a step of a fractal network costs: ours against a port-style network, and parameters and memory by columns.

The port-style network is written out plainly below: it computes every convolution for every sample and multiplies
masks into the inputs of each join, as the public ports do. Both have the same weights' shapes and the same batch.
Ratios come from one process in which the forms take turns; the table gives medians over rounds and their quartiles.
`python benchmarks/fractal.py` takes some three minutes; `--device cuda` measures on a GPU.
"""

import argparse
import itertools
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasdrop import FractalNet
from nasdrop.drop import Draw
from nasdrop.models.cost import count

COLUMNS, WIDTHS, SIDE, BATCH = 3, (32, 64, 128), 32, 32
P = 0.15
Step = Callable[[], object]


class PortBlock(nn.Module):
    """Columns of conv-BN-ReLU; all is computed, and masks (columns, samples) are multiplied in at every row's end."""

    def __init__(self, columns: int, channels_in: int, channels: int) -> None:
        super().__init__()
        self.columns = columns
        self.units = nn.ModuleDict()
        for column in range(columns):
            for slot in range(2**column):
                width = channels if slot else channels_in
                self.units[f"{column}_{slot}"] = nn.Sequential(
                    nn.Conv2d(width, channels, 3, padding=1), nn.BatchNorm2d(channels, affine=False), nn.ReLU()
                )

    def forward(self, x: Tensor, p: float, columns: Tensor) -> Tensor:
        """`columns` (N,): the column that a sample runs alone, -1 for the local rule."""
        states = [x] * self.columns
        rows = 2 ** (self.columns - 1)
        for row in range(1, rows + 1):
            ends = [c for c in range(self.columns) if row % (rows >> c) == 0]
            values = torch.stack([self.units[f"{c}_{row // (rows >> c) - 1}"](states[c]) for c in ends])
            if row == rows:
                values = F.max_pool2d(values.flatten(0, 1), 2).unflatten(0, values.shape[:2])
            live = (torch.rand(len(ends), len(x), device=x.device) >= p).float()
            revived = F.one_hot(torch.randint(len(ends), (len(x),), device=x.device), len(ends)).t()
            live = torch.where(live.sum(0) == 0, revived, live)
            alone = torch.stack([(columns == c).float() for c in ends])
            mask = torch.where(columns < 0, live, alone)
            mask = mask / mask.sum(0).clamp_min(1.0)
            joined = (values * mask.view(*mask.shape, 1, 1, 1)).sum(0)
            for c in ends:
                states[c] = joined
        return states[0]


class Port(nn.Module):
    """Port-style FractalNet."""

    def __init__(self, columns: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            PortBlock(columns, before, width) for before, width in zip((3, *widths[:-1]), widths, strict=True)
        )
        self.classifier = nn.Linear(widths[-1], 10)

    def forward(self, x: Tensor, p: float, columns: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, p, columns)
        return self.classifier(x.flatten(2).mean(2))


def make_ours(mode: str, columns: int = COLUMNS) -> FractalNet:
    dropout = [0.0] * len(WIDTHS)
    return FractalNet(columns, len(WIDTHS), WIDTHS, dropout=dropout, drop={"mode": mode}, p=P)


def trainer(network: nn.Module, device: torch.device, run: Callable[[Tensor], Tensor]) -> Step:
    """One optimiser step of a network."""
    network.to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    x = torch.randn(BATCH, 3, SIDE, SIDE, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (BATCH,), device=device)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(run(x), labels).backward()
        optimizer.step()

    return step


def steps(device: torch.device) -> dict[str, Step]:
    """Every form by name; where one column runs alone, three steps in a row run each column once."""
    counter = iter(range(10**9))
    found: dict[str, Step] = {}

    def ours(mode: str, share: float, columns: tuple[int, ...] = ()) -> Step:
        network = make_ours(mode)
        network.path_drop.set_global_share(share)
        turn = itertools.cycle(columns)

        def run(x: Tensor) -> Tensor:
            draw = network.path_drop.draw(network.path_drop.rates, BATCH, 0, 0, next(counter))
            return network(x, paths=Draw(draw.factors, torch.tensor([next(turn)])) if columns else draw)

        return trainer(network, device, run)

    def port(share: float) -> Step:
        network = Port(COLUMNS, WIDTHS)

        def run(x: Tensor) -> Tensor:
            column = torch.randint(COLUMNS, (BATCH,), device=device)
            local = torch.rand(BATCH, device=device) >= share
            return network(x, P, torch.where(local, -1, column))

        return trainer(network, device, run)

    for column in range(COLUMNS):
        plain = make_ours("batch").column(column)
        found[f"column {column} as a plain network"] = trainer(plain, device, plain)
        found[f"ours, global, a batch, column {column}"] = ours("batch", 1.0, (column,))
    every = tuple(range(COLUMNS))
    for name, share in (("local", 0.0), ("global", 1.0), ("half and half", 0.5)):
        found[f"port-style, {name}"] = port(share)
        found[f"ours, {name}, a decision a sample"] = ours("row", share)
        if share in (0.0, 1.0):  # of a batch, half and half is the mean of the two
            found[f"ours, {name}, a decision a batch"] = ours("batch", share, every if share else ())
    return found


def measure(forms: dict[str, Step], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each form in each round; a form's time in a round is the mean of three steps, as draws differ."""
    for step in forms.values():
        step()
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(rounds):
        for name, step in forms.items():
            synchronise(device)
            started = time.perf_counter()
            for _ in range(3):
                step()
            synchronise(device)
            seconds[name].append((time.perf_counter() - started) / 3)
    return seconds


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def print_ratios(seconds: dict[str, list[float]]) -> None:
    print("\n## Seconds a step\n")
    print("| form | ms | against | ratio | quartiles |\n| - | - | - | - | - |")
    for name, own in seconds.items():
        base = name
        if name.startswith("ours, global, a batch"):
            base = f"column {name[-1]} as a plain network"
        elif name.startswith("ours"):
            base = f"port-style, {name.split(', ')[1]}"
        row = f"| {name} | {1000 * statistics.median(own):.1f} |"
        if base == name:
            print(f"{row} | | |")
            continue
        ratios = [a / b for a, b in zip(own, seconds[base], strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4)
        print(f"{row} {base} | {statistics.median(ratios):.3f} | {low:.3f} to {high:.3f} |")


def saved_bytes(run: Callable[[], Tensor]) -> int:
    """Memory that a forward pass keeps for the backward one, weights included, each storage once."""
    storages: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = run()
    assert result.requires_grad
    return sum(storages.values())


def print_sizes(device: torch.device) -> None:
    print(f"\n## Parameters and memory by columns\n\nWidths {WIDTHS}, {SIDE}x{SIDE}, batch {BATCH}.\n")
    print("| columns | depth | parameters | multiply-adds | kept, all columns, MiB | kept, deepest alone, MiB |")
    print("| - | - | - | - | - | - |")
    x = torch.randn(BATCH, 3, SIDE, SIDE, device=device)
    for columns in range(1, 6):
        network = make_ours("batch", columns).to(device).train()
        cost = count(network, (3, SIDE, SIDE))
        whole = saved_bytes(partial(network, x, paths=Draw(None))) / 2**20
        deepest = saved_bytes(partial(network, x, column="deepest")) / 2**20
        depth = len(WIDTHS) * 2 ** (columns - 1)
        print(f"| {columns} | {depth} | {cost.parameters:,} | {cost.multiply_adds:,} | {whole:.1f} | {deepest:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = torch.device(options.device)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.processor()} {os.cpu_count()}"
    print(f"{where} cores, {options.threads} threads; torch {torch.__version__}, Python {platform.python_version()}; ")
    print(f"{COLUMNS} columns, widths {WIDTHS}, {SIDE}x{SIDE}, batch {BATCH}, n = {options.rounds} rounds;")
    print(f"load average at the start {os.getloadavg()[0]:.1f}.")
    print_ratios(measure(steps(device), options.rounds, device))
    print_sizes(device)


if __name__ == "__main__":
    main()
