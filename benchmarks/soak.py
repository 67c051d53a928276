"""Long searches: memory, open handles and time a trial at their start and end, read from the kernel while they run.

python benchmarks/soak.py table      2,000 trials looked up in NAS-Bench-201's table by 4 workers
python benchmarks/soak.py trained    200 trials trained for an epoch on 64 digits, in one process
"""

import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from nasdrop.run_folder import RunFolder
from nasdrop.searchers.storage import find_study, place_of

SEARCHES = {
    "table": ("nas_bench_201_table", "search.trials=2000", "search.sampler=random", "workers=4"),
    "trained": (
        "digits", "space=tiny", "threads=1", "network.channels=2", "network.num_cells=3", "search.trials=200",
        "search.epochs=1", "search.min_epochs=1", "search.sampler=random", "search.pruner=none",
        "data.train_limit=64", "train.batch_size=32", "train.epochs=1", "final.seeds=0",
    ),
}  # fmt: skip
PAUSE = 0.5  # seconds between two looks
LATER = 0.2  # the share of a run after which memory is compared: what is imported and cached is there by then

Sample = tuple[float, int, int]  # seconds since the start, KiB of resident memory, open handles


def look(pid: str, started: float) -> Sample | None:
    """One process at this moment; None if it is over."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        handles = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return None
    resident = [int(line.split()[1]) for line in lines if line.startswith("VmRSS")]
    return (time.monotonic() - started, resident[0], handles) if resident else None


def family(pid: int) -> list[str]:
    """A process and its children."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    return [str(pid), *children]


def watch(name: str, folder: Path) -> tuple[dict[str, list[Sample]], float]:
    """Run a search and look at its processes; the looks a process, and how long it took."""
    output = folder.with_name("output")
    command = [sys.executable, "-m", "nasdrop", "search", *SEARCHES[name], "--out", str(folder)]
    seen: dict[str, list[Sample]] = {}
    started = time.monotonic()
    with (
        output.open("wb") as file,
        subprocess.Popen(command, stdout=file, stderr=file) as run,
    ):
        while run.poll() is None:
            for pid in family(run.pid):
                if sample := look(pid, started):
                    seen.setdefault(pid, []).append(sample)
            time.sleep(PAUSE)
    if run.returncode:
        sys.exit(output.read_text()[-2000:])
    return seen, time.monotonic() - started


def slope(samples: list[Sample]) -> float:
    """KiB of memory a second, by least squares."""
    return statistics.linear_regression([one[0] for one in samples], [one[1] for one in samples]).slope


def report(name: str, folder: Path, seen: dict[str, list[Sample]], seconds: float) -> None:
    run = RunFolder(folder)
    trials = find_study(*place_of(run, run.read_experiment())).get_trials(deepcopy=False)
    ends = sorted(trial.datetime_complete.timestamp() for trial in trials if trial.datetime_complete)
    gaps = [after - before for before, after in pairwise(ends)]
    tenth = len(gaps) // 10
    first, last = statistics.fmean(gaps[:tenth]), statistics.fmean(gaps[-tenth:])
    print(f"\n## {name}\n\n    nasdrop search {' '.join(SEARCHES[name])}\n")
    print(f"{len(trials):,} trials (repeated cells included) in {seconds:.0f} s of wall time.")
    print(f"Time between two ends of trials: {1000 * first:.1f} ms at first, {1000 * last:.1f} ms at last (tenths).\n")
    print("| process | MiB at the start | MiB at the end | growth a 1,000 trials | handles, start | handles, end |")
    print("|---|---|---|---|---|---|")
    for number, samples in enumerate(seen.values()):
        begin, end = samples[0][0], samples[-1][0]
        later = [one for one in samples if one[0] >= begin + LATER * (end - begin)][:-1]
        if len(later) < 4:
            continue
        share = slope(later) * (ends[-1] - ends[0]) / (len(trials) / 1000) / later[0][1]
        what = "search" if number == 0 else f"worker {number - 1}"
        sizes = f"{later[0][1] / 1024:.1f} | {later[-1][1] / 1024:.1f} | {100 * share:+.2f} %"
        print(f"| {what} | {sizes} | {later[0][2]} | {later[-1][2]} |")


def main() -> None:
    for name in sys.argv[1:] or SEARCHES:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "run"
            seen, seconds = watch(name, folder)
            report(name, folder, seen, seconds)


if __name__ == "__main__":
    main()
