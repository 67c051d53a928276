"""`python -m tests.faults.fuzz --seconds 600`: hand nasdrop what is nearly right, and see that it answers in one line.

Each parser has a process of its own, with 3 GiB of address space beyond what it starts with. A crash is an exception
that is not ours, an answer of several lines, a minute for one input, or 256 MiB for one.
"""

import argparse
import importlib
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType

from nasdrop.errors import NasdropError
from tests.faults.driver import finish
from tests.faults.kinds import prepare
from tests.faults.mutations import mutate
from tests.faults.parsers import Parser, parsers
from tests.faults.process import adopt_orphans

SPACE = 3 * 2**30  # bytes of address that a parser's process may take beyond what it starts with
MEMORY = 256 * 2**10  # KiB that one input may take
LONGEST = 60.0  # seconds of one input


class Hangs(Exception):
    """An input took too long."""


@dataclass
class Found:
    """What a parser was tried with."""

    inputs: int = 0
    sound: int = 0
    seconds: float = 0.0
    crashes: list[str] = field(default_factory=list)


def attempt(parser: Parser, content: bytes, path: Path) -> str | None:
    """Hand a parser an input: None if it takes it, "" if it refuses it in words of ours, else what is wrong."""
    path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parser.read(path)
        wrong = None
    except NasdropError as error:
        wrong = "" if all(line and "\n" not in line for line in error.lines) else f"not one line: {error.lines!r}"[:300]
    except Exception as error:  # noqa: BLE001 - what the fuzzer looks for
        place = error.__traceback__
        while place and place.tb_next:
            place = place.tb_next
        where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else ""
        wrong = f"{type(error).__name__}: {' '.join(str(error).split())[:200]} ({where})"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return f"takes {taken // 1024} MiB" if taken > MEMORY and not wrong else wrong


def fuzz(parser: Parser, seconds: float, seed: int, folder: Path) -> Found:
    """Try a parser for so long."""
    dice, found, started = random.Random(seed), Found(), time.monotonic()
    path = folder / f"input{parser.ending}"
    for content in parser.seeds:
        if (wrong := attempt(parser, content, path)) is not None:
            found.crashes.append(f"a sound input is refused: {wrong}")
    while time.monotonic() - started < seconds:
        content = mutate(dice.choice(parser.seeds), parser.seeds, dice)
        wrong = attempt(parser, content, path)
        found.inputs += 1
        found.sound += wrong is None
        if wrong and not any(wrong.rpartition("(")[2] in line for line in found.crashes):
            (folder / f"crash{len(found.crashes)}").write_bytes(content)
            found.crashes.append(wrong)
    found.seconds = time.monotonic() - started
    return found


def confined(task: Callable[[], Found]) -> Found:
    """Run a task in a process of its own that can neither take all memory nor hang for ever."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        signal.signal(signal.SIGALRM, _raise)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + SPACE,) * 2)
        with os.fdopen(write, "w") as pipe:
            pipe.write(json.dumps(vars(task())))
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        answer = pipe.read()
    _, status = os.waitpid(pid, 0)
    return Found(**json.loads(answer)) if answer else Found(crashes=[f"the process died: {status}"])


def _raise(number: int, frame: FrameType | None) -> None:
    raise Hangs(f"more than {LONGEST:g} s")


def table(found: dict[str, Found]) -> str:
    """What was found, as Markdown."""
    lines = ["| parser | inputs | still sound | crashes | seconds |", "|---|---|---|---|---|"]
    for name, one in found.items():
        lines.append(f"| {name} | {one.inputs:,} | {one.sound:,} | {len(one.crashes)} | {one.seconds:.0f} |")
    lines += [f"{name}: {crash}" for name, one in found.items() for crash in one.crashes]
    return "\n".join(lines)


def main() -> int:
    """Fuzz; 1 if anything crashed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=60.0, help="for all parsers together")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--parsers", default="", help="names with commas; all without")
    arguments.add_argument("--folder", type=Path, help="keep the inputs that crash here")
    given = arguments.parse_args()
    for name in ("nasdrop.cli.show", "nasdrop.cli.search", "nasdrop.experiment", "torch._dynamo"):
        importlib.import_module(name)
    adopt_orphans()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        with suppress(FileExistsError):
            prepare(folder)
            finish(folder)
        known = parsers(folder)
        chosen = given.parsers.split(",") if given.parsers else list(known)
        found = {}
        for name in chosen:
            own = folder / f"{name.replace(' ', '_')}.fuzz"
            own.mkdir(exist_ok=True)
            found[name] = confined(partial(fuzz, known[name], given.seconds / len(chosen), given.seed, own))
    sys.stdout.write(table(found) + "\n")
    return int(any(one.crashes for one in found.values()))


if __name__ == "__main__":
    sys.exit(main())
