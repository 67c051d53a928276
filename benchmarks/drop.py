"""What drop path costs: ours against the forms of other code bases, written out plainly here.

Every ratio comes from one process in which the forms take turns, round by round; the table gives the median of the
rounds' ratios and their quartiles. `python benchmarks/drop.py --quick` takes about a minute, the whole some twenty.
Run it on a quiet machine: with more threads than free cores every parallel operation waits for the scheduler, and a
form that consists of several waits several times.
"""

import argparse
import gc
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path as File

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from nasdrop import drop
from nasdrop.drop import DropScheduler, Path, PathDrop, Schedule

Form = Callable[[Tensor], Tensor]
SHAPES = {"CNN": (64, 64, 32, 32), "ViT": (256, 197, 384)}
QUICK_SHAPES = {"CNN": (16, 64, 32, 32), "ViT": (32, 197, 384)}


def timm_form(x: Tensor, p: float) -> Tensor:
    """A bernoulli mask of x's dtype, divided by k, times x."""
    keep = 1.0 - p
    mask = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(keep)
    return x * mask.div_(keep)


def torchvision_form(x: Tensor, p: float) -> Tensor:
    """The same, the mask made with `torch.empty`."""
    keep = 1.0 - p
    size = [x.shape[0]] + [1] * (x.ndim - 1)
    return x * torch.empty(size, dtype=x.dtype, device=x.device).bernoulli_(keep).div_(keep)


def darts_form(x: Tensor, p: float) -> Tensor:
    """In place, two passes, on a copy: in place on x itself it would overwrite what others read."""
    keep = 1.0 - p
    mask = torch.empty((x.shape[0],) + (1,) * (x.ndim - 1), dtype=x.dtype).bernoulli_(keep)
    return x.clone().div_(keep).mul_(mask)


def floor_form(x: Tensor, p: float) -> Tensor:
    """The floor trick of older code: floor(k + u), x divided first."""
    keep = 1.0 - p
    size = (x.shape[0],) + (1,) * (x.ndim - 1)
    return x.div(keep) * (keep + torch.rand(size, dtype=x.dtype)).floor_()


def seconds(run: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def in_turns(forms: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Time each form once a round, after two rounds to warm up; a call that is too short is repeated within a round."""
    repeats = {}
    for name, run in forms.items():
        run()
        repeats[name] = max(1, min(50, int(0.003 / max(seconds(run), 1e-6))))
    times: dict[str, list[float]] = {name: [] for name in forms}
    gc.collect()
    order = random.Random(0)  # noqa: S311 - who comes after whom matters to the allocator, so it changes
    for _ in range(rounds):
        for name, run in order.sample(list(forms.items()), len(forms)):
            times[name].append(
                seconds(lambda run=run, name=name: [run() for _ in range(repeats[name])]) / repeats[name]
            )
    return times


def ratios(times: list[float], base: list[float]) -> list[str]:
    """Median and quartiles of the rounds' ratios; and the ratio of the best times, which a busy machine moves least."""
    quartiles = statistics.quantiles([a / b for a, b in zip(times, base, strict=True)], n=4)
    return [f"{quartiles[1]:.2f} ({quartiles[0]:.2f}-{quartiles[2]:.2f})", f"{min(times) / min(base):.2f}"]


def milliseconds(times: list[float]) -> str:
    """Median."""
    return f"{statistics.median(times) * 1e3:.3f}"


def training_step(form: Form, x: Tensor, gradient: Tensor) -> Callable[[], object]:
    """Forward and backward."""

    def run() -> None:
        x.grad = None
        form(x).backward(gradient)

    return run


def table(title: str, header: list[str], rows: list[list[str]], note: str = "") -> str:
    """Print a Markdown table and give it back."""
    lines = [f"\n## {title}\n"] + ([note + "\n"] if note else [])
    lines += ["| " + " | ".join(header) + " |", "|" + " - |" * len(header)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    text = "\n".join(lines)
    print(text, flush=True)
    return text


def drop_path_forms(p: float) -> dict[str, Form]:
    """Whole samples: other code bases' forms, then ours."""
    module = drop.DropPath(p)
    return {
        "plain mask and multiply (timm)": lambda x: timm_form(x, p),
        "the same (torchvision)": lambda x: torchvision_form(x, p),
        "div and mul in place, on a copy (DARTS)": lambda x: darts_form(x, p),
        "floor trick": lambda x: floor_form(x, p),
        "drop_path": lambda x: drop.drop_path(x, p, training=True),
        "DropPath module": module,
    }


def dropout_forms(p: float) -> dict[str, Form]:
    """Single elements; our function is torch's where torch is exact."""
    module, theirs = drop.Dropout(p), nn.Dropout(p)
    return {
        "nn.Dropout": theirs,
        "dropout": lambda x: drop.dropout(x, p),
        "Dropout module": module,
    }


def dropout2d_forms(p: float) -> dict[str, Form]:
    """Whole channels."""
    return {
        "F.dropout2d": lambda x: F.dropout2d(x, p),
        "dropout2d": lambda x: drop.dropout2d(x, p),
        "Dropout2d module": drop.Dropout2d(p),
    }


def eager(shapes: dict[str, tuple[int, ...]], rounds: int) -> Iterator[list[str]]:
    """Forward and backward of one function; the first form of a group is the base."""
    for name, shape in shapes.items():
        for dtype in (torch.float32, torch.bfloat16):
            x = torch.randn(shape).to(dtype).requires_grad_()
            gradient = torch.randn(shape).to(dtype)
            groups = [(p, drop_path_forms(p)) for p in (0.1, 0.4)] + [(0.1, dropout_forms(0.1))]
            groups += [(0.1, dropout2d_forms(0.1))] if len(shape) == 4 else []
            for p, forms in groups:
                times = in_turns({form: training_step(run, x, gradient) for form, run in forms.items()}, rounds)
                base = next(iter(times.values()))
                for form, measured in times.items():
                    yield [
                        f"{name} {shape}",
                        str(dtype)[6:],
                        str(p),
                        form,
                        milliseconds(measured),
                        *ratios(measured, base),
                    ]


class Residual(nn.Module):
    """A convolution or a perceptron on a residual branch, with whatever drops it."""

    def __init__(self, kind: str, dropping: nn.Module) -> None:
        super().__init__()
        if kind == "CNN":
            self.branch = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU())
        else:
            self.branch = nn.Sequential(nn.LayerNorm(384), nn.Linear(384, 768), nn.GELU(), nn.Linear(768, 384))
        self.dropping = dropping

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch."""
        result: Tensor = x + self.dropping(self.branch(x))
        return result


class PlainDropPath(nn.Module):
    """A plain mask and multiply, with its rate in a buffer so that it compiles to one graph as ours does."""

    rate: Tensor

    def __init__(self, p: float) -> None:
        super().__init__()
        self.register_buffer("rate", torch.tensor(p))

    def forward(self, x: Tensor) -> Tensor:
        """Multiply by the mask over k."""
        keep = 1.0 - self.rate
        uniform = torch.rand((x.shape[0],) + (1,) * (x.ndim - 1), device=x.device)
        return x * ((uniform < keep) / keep).to(x.dtype)


def compiled(shapes: dict[str, tuple[int, ...]], rounds: int) -> Iterator[list[str]]:
    """Compiled, forward and backward: the function alone, then a residual block with it and without."""
    for name, shape in shapes.items():
        layouts = [torch.contiguous_format] + ([torch.channels_last] if len(shape) == 4 else [])
        for dtype, layout in ((dtype, layout) for layout in layouts for dtype in (torch.float32, torch.bfloat16)):
            x = torch.randn(shape).to(dtype).contiguous(memory_format=layout).requires_grad_()
            gradient = torch.randn(shape).to(dtype).contiguous(memory_format=layout)
            dropping = {"plain mask and multiply": PlainDropPath(0.1), "DropPath": drop.DropPath(0.1)}
            blocks = {f"block, {what}": Residual(name, module) for what, module in dropping.items()}
            alone = {f"{what} alone": module for what, module in dropping.items()}
            for group in (alone, {"block without": Residual(name, nn.Identity())} | blocks):
                forms = {}
                for form, module in group.items():
                    torch._dynamo.reset()
                    run = torch.compile(module.to(dtype).to(memory_format=layout), fullgraph=True)
                    forms[form] = training_step(run, x, gradient)
                    forms[form]()
                times = in_turns(forms, rounds)
                base = next(iter(times.values()))
                for form, measured in times.items():
                    where = f"{name} {shape}" + (", channels last" if layout == torch.channels_last else "")
                    yield [where, str(dtype)[6:], form, milliseconds(measured), *ratios(measured, base)]


def saved_bytes(form: Form, shape: tuple[int, ...], dtype: torch.dtype) -> int:
    """Bytes that autograd keeps for backward."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    x = torch.randn(shape).to(dtype).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        form(x)
    return sum(storages.values())


def memory(shapes: dict[str, tuple[int, ...]]) -> Iterator[list[str]]:
    """What each form keeps for backward, in bytes and as a share of x."""
    for name, shape in shapes.items():
        for dtype in (torch.float32, torch.bfloat16):
            size = torch.Size(shape).numel() * dtype.itemsize
            for form, run in (drop_path_forms(0.1) | dropout_forms(0.1)).items():
                kept = saved_bytes(run, shape, dtype)
                yield [f"{name} {shape}", str(dtype)[6:], form, f"{kept:,}", f"{kept / size:.4f}"]


class FloatAttribute(nn.Module):
    """timm's layout: the rate is a Python float on the module."""

    def __init__(self) -> None:
        super().__init__()
        self.drop_prob = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """Drop while training."""
        return timm_form(x, self.drop_prob) if self.drop_prob > 0.0 and self.training else x


def graphs(epochs: int = 50) -> Iterator[list[str]]:
    """Graphs compiled while a linear schedule runs; above torch's limit of 8 a float falls back to eager in silence."""
    ours = {"DropPath": drop.DropPath(), "Dropout": drop.Dropout(), "Dropout2d": drop.Dropout2d()}
    theirs = {"float attribute (timm)": FloatAttribute(), "nn.Dropout": nn.Dropout()}
    for name, module in (ours | theirs).items():
        torch._dynamo.reset()
        counter = CompileCounterWithBackend("aot_eager")
        run = torch.compile(module, backend=counter)
        scheduler = DropScheduler(module, Schedule(0.2), epochs=epochs)
        for epoch in range(epochs):
            scheduler.step(epoch=epoch)
            run(torch.randn(4, 3, 2, 2))
        yield [name, str(counter.frame_count)]


def skipping(shape: tuple[int, ...], rounds: int) -> Iterator[list[str]]:
    """A residual branch whose dropped samples are not computed, against one that computes and zeroes them."""
    layers = [layer for _ in range(2) for layer in (nn.Conv2d(64, 64, 3, padding=1), nn.GroupNorm(8, 64), nn.ReLU())]
    branch = nn.Sequential(*layers)
    x = torch.randn(shape).requires_grad_()
    gradient = torch.randn(shape)
    for p in (0.1, 0.4):
        forms: dict[str, Form] = {
            "branch alone": branch,
            "row (drop_path)": lambda x, p=p: drop.drop_path(branch(x), p, training=True),
            "subset (drop_branch)": lambda x, p=p: drop.drop_branch(branch, x, p),
            "batch (drop_branch)": lambda x, p=p: drop.drop_branch(branch, x, p, mode="batch"),
        }
        torch.manual_seed(0)
        times = in_turns({form: training_step(run, x, gradient) for form, run in forms.items()}, rounds)
        base = statistics.fmean(times["row (drop_path)"])
        for form, measured in times.items():
            saved = 1.0 - statistics.fmean(measured) / base
            kept = statistics.fmean(saved_bytes(forms[form], shape, torch.float32) for _ in range(5)) / 2**20
            yield [str(p), form, milliseconds(measured), f"{saved:+.1%}", f"{saved / p:+.2f} p", f"{kept:.0f}"]


def one_draw(rounds: int) -> Iterator[list[str]]:
    """All masks of 20 cells of 8 edges for a batch of 96."""
    paths = [
        Path(f"{cell}/{edge}", 4 * cell + edge // 2, cell, (cell + 1) / 20) for cell in range(20) for edge in range(8)
    ]
    forms: dict[str, Callable[[], object]] = {
        "160 masks, one at a time (bernoulli_, div_)": lambda: [
            torch.empty(96, 1, 1, 1).bernoulli_(0.8).div_(0.8) for _ in paths
        ]
    }
    for label, options in (
        ("edge, draw (seeded)", {}),
        ("edge, sample (default RNG)", {}),
        ("cell, draw", {"policy": "cell"}),
        ("edge, survivors revive, draw", {"survivors": "revive"}),
        ("edge, survivors redraw, draw", {"survivors": "redraw"}),
    ):
        path_drop = PathDrop(paths, **options)
        path_drop.set_rates(0.2)
        if "sample" in label:
            forms[label] = lambda drop=path_drop: drop.sample(drop.rates, 96)
        else:
            forms[label] = lambda drop=path_drop: drop.draw(drop.rates, 96, 0, 0, 0)
    times = in_turns(forms, rounds * 5)
    for form, measured in times.items():
        yield [form, milliseconds(measured), f"{min(measured) * 1e3:.3f}"]


def machine(threads: int, rounds: int) -> str:
    """Where and how this was measured."""
    names = [line for line in File("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    cpu = names[0].partition(": ")[2] if names else platform.processor()
    return (
        f"{cpu}, {len(names)} cores seen, {threads} threads used; torch {torch.__version__}, Python "
        f"{platform.python_version()}, {platform.system()}. n = {rounds} rounds, forms interleaved in one process; "
        f"milliseconds are medians; load average at the start {os.getloadavg()[0]:.1f}. Not measured on a GPU."
    )


def main() -> None:
    """Measure everything, print it, and write it down where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small shapes, few rounds, no compiler")
    parser.add_argument("--no-compiler", action="store_true", help="leave out what torch.compile makes")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=0, help="0: 30, or 7 with --quick")
    parser.add_argument("--output", type=File, help="also write the tables to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    rounds = arguments.rounds or (7 if arguments.quick else 30)
    shapes = QUICK_SHAPES if arguments.quick else SHAPES
    head = f"# What drop path costs\n\n`python benchmarks/drop.py`. {machine(arguments.threads, rounds)}"
    print(head)
    where = ["shape", "dtype"]
    parts = [
        head,
        table(
            "All masks of a step", ["form", "ms", "best ms"], list(one_draw(rounds)), "20 cells, 160 paths, batch 96."
        ),
        table(
            "Forward and backward of one function, eager",
            [*where, "p", "form", "ms", "ratio to the first of its group (quartiles)", "of best times"],
            list(eager(shapes, rounds)),
        ),
        table("Kept for backward", [*where, "form", "bytes", "share of x"], list(memory(shapes))),
        table(
            "Dropped samples that are not computed",
            ["p", "form", "ms", "time saved against row", "in units of p", "MiB kept for backward"],
            list(skipping(shapes["CNN"], rounds)),
            "Two 3x3 convolutions with group normalisation, 64 channels; forward and backward; savings of the means.",
        ),
        table("Graphs compiled over 50 epochs of a linear schedule", ["module", "graphs"], list(graphs())),
    ]
    if not (arguments.quick or arguments.no_compiler):
        small = {"CNN": SHAPES["CNN"], "ViT": (32, 197, 384)}
        parts.append(
            table(
                "Compiled, forward and backward",
                [*where, "form", "ms", "ratio to the first of its group (quartiles)", "of best times"],
                list(compiled(small, max(7, rounds // 2))),
                "p = 0.1. In torch's default layout inductor transposes behind the convolution, in the kernel that "
                "drops; there a factor for each row, ours or plain, costs it its transposing loop.",
            )
        )
    if arguments.output:
        arguments.output.write_text("\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
