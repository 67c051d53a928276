"""Rounds of kills: start a command, kill it, see that no file is broken, go on, kill it again or not, compare the end.

A round is reproducible from (kind, seed, number). `python -m tests.faults` runs as many as asked for.
"""

import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.files import broken, strays
from tests.faults.kinds import KINDS, Kind, ends, prepare, trials_of
from tests.faults.process import HANGS, Ended, Kill, end, run

MOST_KILLS = 3  # of one round
KILLED = -9


@dataclass
class Tally:
    """What the rounds of a kind came to.

    Attributes:
        rounds: how many.
        kills: of all rounds; a process may end before its moment.
        wrong: what did not hold, with its round.
        seconds: wall time.
    """

    rounds: int = 0
    kills: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def count(self, *words: str) -> int:
        """How many of the mistakes are of a sort."""
        return sum(any(word in line for word in words) for line in self.wrong)


class Driver:
    """Runs rounds of one kind.

    Args:
        name: of the kind.
        folder: a new folder for inputs and runs.
        seed: of all moments.
    """

    def __init__(self, name: str, folder: Path, seed: int) -> None:
        self.name, self.kind, self.folder, self.seed = name, KINDS[name], folder, seed
        self.known: dict[str, Any] = {}
        self.inputs = folder / "inputs"
        prepare(self.inputs)
        if self.kind.start is not Kind.start:
            finish(self.inputs)
        self.whole = folder / "whole"
        self.kind.start(self.inputs, self.whole)
        self.unbroken = self._call(self.whole, None)
        wrong = [*self._output(self.unbroken), *self._end(self.whole)]
        if self.unbroken.code or wrong:
            raise RuntimeError(f"{name}: the unbroken run: {wrong}: {self.unbroken.text[-2000:]}")

    def round(self, number: int, tally: Tally) -> None:
        """One round; what is wrong goes into the tally."""
        started = time.monotonic()
        dice = random.Random(f"{self.seed} {self.name} {number}")
        folder = self.folder / f"run{number}"
        self.kind.start(self.inputs, folder)
        kills: list[Kill] = []
        wrong, groups, finished = [], [], {}
        for _ in range(dice.choice((1, 1, 2, MOST_KILLS))):
            kills.append(self._moment(dice))
            ended = self._call(folder, kills[-1])
            groups.append(ended.group)
            wrong += [*self._output(ended), *broken(folder)]
            tally.kills += ended.code == KILLED or kills[-1].victim is not None
            finished |= ends(trials_of(folder)) if (folder / "study.journal").exists() else {}
            if ended.code != KILLED:
                break
        ended = self._call(folder, None)
        end([*groups, ended.group])
        wrong += [*self._output(ended), *broken(folder), *strays(folder)]
        if ended.code == 0:
            wrong += [*self._end(folder), *self._lost(folder, finished)]
        else:
            wrong.append(f"exit code {ended.code}: {ended.text[-300:]}")
        tally.rounds += 1
        tally.seconds += time.monotonic() - started
        tally.wrong += [f"{self.name} {number} ({', '.join(map(str, kills))}): {line}" for line in wrong]
        if not wrong:
            shutil.rmtree(folder)

    def _moment(self, dice: random.Random) -> Kill:
        victim = dice.choice([None, *range(self.kind.workers)])
        mode = dice.choice(("event", "event", "event", "time") + (("line",) if self.lines else ()))
        if mode == "time" and victim is None:
            return Kill("time", dice.uniform(0, 1.1 * self.unbroken.seconds))
        if mode == "line" and self.lines:
            return Kill("line", dice.randint(1, self.lines), victim)
        most = self.unbroken.events if victim is None else self.unbroken.events // 2
        return Kill("event", dice.randint(1, most), victim)

    @property
    def lines(self) -> int:
        """Lines of the unbroken run's journal."""
        journal = self.whole / "study.journal"
        return journal.read_bytes().count(b"\n") if journal.exists() else 0

    def _call(self, folder: Path, kill: Kill | None) -> Ended:
        arguments = [text.format(inputs=self.inputs, run=folder) for text in self.kind.first]
        return run(arguments, folder, kill)

    def _output(self, ended: Ended) -> Iterator[str]:
        if "Traceback" in ended.text or "Error" in ended.text:
            yield f"printed: {ended.text[-400:]}"
        if ended.code == HANGS:
            yield "hangs"

    def _end(self, folder: Path) -> Iterator[str]:
        try:
            yield from self.kind.check(folder, self.whole, self.known)
            for log in (folder / "workers").glob("*.log"):
                if "Traceback" in log.read_text() or "Error" in log.read_text():
                    yield f"{log.name}: {log.read_text()[-400:]}"
        except (OSError, ValueError, KeyError) as error:
            yield f"cannot be checked: {error!r}"

    def _lost(self, folder: Path, finished: dict[int, Any]) -> Iterator[str]:
        if not finished:
            return
        now = ends(trials_of(folder))
        for number, before in finished.items():
            if now.get(number) != before:
                yield f"trial {number} was {before}, is lost: {now.get(number)}"


def finish(inputs: Path) -> None:
    """A run with trained weights, for what starts from one."""
    folder = inputs / "finished"
    arguments = [text.format(inputs=inputs, run=folder) for text in KINDS["train"].first]
    ended = run(arguments, folder)
    if ended.code:
        raise RuntimeError(ended.text[-2000:])
