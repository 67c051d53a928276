"""What a search step over a supernet costs: ours against the plain supernet (plain_supernet.py).

A search step is an architecture step (forward, backward, Adam) and a weight step (forward, backward, clipping, SGD),
first order. Ratios come from one process in which the forms take turns; memory is of a process of its own each.

    python benchmarks/supernet.py step --batch 16 --threads 1       # or --batch 64, 96; --threads 2; --bfloat16
    python benchmarks/supernet.py step --device cuda --batch 64 --rounds 20 --forms "plain;grouped;grouped, graph"
    python benchmarks/supernet.py memory --batch 64
    python benchmarks/supernet.py calls                             # with --device cuda: kernels, by the profiler
    python benchmarks/supernet.py size --threads 2

Each writes its rows into benchmarks/results/supernet.json and the whole into supernet.md beside it. Run it on a quiet
machine.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from supernet_forms import FORMS, Searcher, batch_of, build
from torch.utils._python_dispatch import TorchDispatchMode

RESULTS = Path(__file__).parent / "results"


def seconds(run: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    run()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def take_turns(searchers: dict[str, Searcher], rows: int, rounds: int, device: str) -> dict[str, list[float]]:
    """Seconds a step of each form, round by round, after one step of each that is not counted."""
    batch = batch_of(rows, device)
    for searcher in searchers.values():
        searcher.step(*batch)
    times: dict[str, list[float]] = {form: [] for form in searchers}
    for _ in range(rounds):
        for form, searcher in searchers.items():
            times[form].append(seconds(lambda searcher=searcher: searcher.step(*batch), device))
    return times


def rows_of(times: dict[str, list[float]], **where: object) -> list[dict[str, object]]:
    """One row a form; the ratio is the median of the rounds' ratios to the plain supernet."""
    first = next(iter(times))
    rows = []
    for form, found in times.items():
        ratios = [plain / own for plain, own in zip(times[first], found, strict=True)]
        rows.append(
            {
                **where,
                "form": form,
                "seconds": round(statistics.median(found), 3),
                "from": round(min(found), 3),
                "to": round(max(found), 3),
                "times faster": round(statistics.median(ratios), 2),
                "rounds": len(found),
            }
        )
    return rows


def measure_steps(args: argparse.Namespace) -> list[dict[str, object]]:
    forms = args.forms.split(";") if args.forms else list(FORMS)
    searchers = {form: build(form, device=args.device, bfloat16=args.bfloat16) for form in forms}
    times = take_turns(searchers, args.batch, args.rounds, args.device)
    dtype = "bfloat16 autocast" if args.bfloat16 else "float32"
    return rows_of(times, device=args.device, threads=args.threads, batch=args.batch, dtype=dtype)


def measure_sizes(args: argparse.Namespace) -> list[dict[str, object]]:
    found = []
    for size in args.sizes.split():
        channels, cells = map(int, size.split("x"))
        searchers = {form: build(form, channels, cells, args.device) for form in ("plain", "packed")}
        times = take_turns(searchers, args.batch, args.rounds, args.device)
        where = {"device": args.device, "threads": args.threads, "batch": args.batch}
        found += rows_of(times, **where, channels=channels, cells=cells)
    return found


def measure_memory(args: argparse.Namespace) -> list[dict[str, object]]:
    """The largest resident set of a process that makes two steps, and its growth over the built model's."""
    found = []
    for form in args.forms.split(";") if args.forms else FORMS:
        command = [sys.executable, __file__, "one", "--batch", str(args.batch), "--threads", str(args.threads)]
        command += ["--device", args.device]
        said = subprocess.run([*command, "--forms", form], check=True, capture_output=True, text=True)
        where = {"device": args.device, "batch": args.batch, "threads": args.threads, "form": form}
        found.append({**where, **json.loads(said.stdout)})
    for row in found:
        row["of the plain one"] = round(float(row["growth MB"]) / float(found[0]["growth MB"]), 3)
    return found


def measure_one(args: argparse.Namespace) -> None:
    searcher = build(args.forms, device=args.device)
    batch = batch_of(args.batch, args.device)
    if args.device != "cpu":
        before = torch.cuda.memory_allocated() / 2**20
        times = [seconds(lambda: searcher.step(*batch), args.device) for _ in range(2)]
        peak = torch.cuda.max_memory_allocated() / 2**20
        print(json.dumps({"peak MB": round(peak), "growth MB": round(peak - before), "seconds": round(times[1], 4)}))
        return
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    times = [seconds(lambda: searcher.step(*batch), "cpu") for _ in range(2)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"peak MB": round(peak), "growth MB": round(peak - before), "seconds": round(times[1], 2)}))


# No kernel: views and aliases, numbers for the host, what only asks for a type, marks for a profiler.
FREE = {
    "detach",
    "_unsafe_view",
    "promote_types",
    "_local_scalar_dense",
    "_record_function_enter_new",
    "_record_function_exit",
}


class Calls(TorchDispatchMode):
    """Counts calls that compute: not views, not fresh memory."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        made = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__.split(".")[-1]
        views = any(
            alias.alias_info is not None and not alias.alias_info.is_write for alias in function._schema.returns
        )
        self.count += not views and "empty" not in name and name not in FREE
        return made


def measure_calls(args: argparse.Namespace) -> list[dict[str, object]]:
    """Calls of the second step, by a dispatch mode on the CPU; on CUDA the kernels that it starts, by the profiler."""
    found = []
    for form in args.forms.split(";") if args.forms else FORMS:
        searcher = build(form, device=args.device, foreach=True)
        batch = batch_of(2, args.device)
        searcher.step(*batch)
        with Calls() as drawn:
            searcher.draw(2) if searcher.ours else None
        row: dict[str, object] = {"device": args.device, "form": form}
        if args.device == "cpu":
            with Calls() as calls:
                searcher.step(*batch)
            found.append({**row, "calls a step": calls.count, "of them drawing masks": 2 * drawn.count})
        else:
            found.append({**row, "kernels a step": kernels(lambda searcher=searcher, b=batch: searcher.step(*b))})
    return found


def kernels(run: Callable[[], object]) -> int:
    """How many kernels and copies the device runs."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        run()
        torch.cuda.synchronize()
    return sum(event.device_type == torch.autograd.DeviceType.CUDA for event in profile.events())


def table(rows: list[dict[str, object]]) -> str:
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + " - |" * len(names)]
    return "\n".join(lines + ["| " + " | ".join(str(row[name]) for name in names) + " |" for row in rows])


TITLES = {
    "step": "Seconds a search step",
    "memory": "Memory, a process of its own for each form",
    "calls": "Calls a step that compute (no views, no fresh memory; optimisers over all tensors at once, as on a GPU)",
    "size": "Number of cells and channels",
}


def write(part: str, rows: list[dict[str, object]]) -> None:
    """Put rows into the results; those of an earlier run of the same measurement give way."""
    file = RESULTS / "supernet.json"
    held = json.loads(file.read_text()) if file.is_file() else {}
    keys = ("device", "threads", "batch", "dtype", "form", "channels", "cells")
    place = [tuple(row.get(key) for key in keys) for row in rows]
    kept = [row for row in held.get(part, []) if tuple(row.get(key) for key in keys) not in place]
    held[part] = sorted(
        kept + rows,
        key=lambda row: ([str(row.get(key)) for key in keys[:4]], row.get("channels", 0), row.get("cells", 0)),
    )
    held["machine"] = (
        f"{platform.machine()}, {os.cpu_count()} cores; torch {torch.__version__}, Python {platform.python_version()}"
    )
    file.write_text(json.dumps(held, indent=1) + "\n")
    text = [
        "# What a search step over a supernet costs",
        "",
        f"`python benchmarks/supernet.py`. {held['machine']}.",
        "",
    ]
    text += ["Not measured on a GPU. What the figures mean: [docs/supernet.md](../../docs/supernet.md).", ""]
    for name, title in TITLES.items():
        if name in held:
            text += [f"## {title}", "", table(held[name]), ""]
    (RESULTS / "supernet.md").write_text("\n".join(text))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["step", "memory", "calls", "size", "one"])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--forms", default="", help="separated by ';'; the first is what others are compared with")
    parser.add_argument("--sizes", default="16x2 16x5 16x8 16x11 8x5 32x5", help="of part size: channels x cells")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--bfloat16", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.part == "one":
        measure_one(args)
        return
    measures = {"step": measure_steps, "memory": measure_memory, "calls": measure_calls, "size": measure_sizes}
    rows = measures[args.part](args)
    print(table(rows))
    write(args.part, rows)


if __name__ == "__main__":
    main()
