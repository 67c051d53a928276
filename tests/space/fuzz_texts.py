"""Damages texts of genotypes at random and reads them: each is read, or refused in short lines, and soon.

    python tests/space/fuzz_texts.py [minutes] [seed]

What is read must survive a round trip through JSON. Ends with 1, and the text, at anything else.
"""

import random
import sys
import time
from pathlib import Path

from nasdrop import resources
from nasdrop.errors import GenotypeError
from nasdrop.space import Genotype, load_space

TRAP = Path("/tmp/nasdrop-fuzz-was-here")
PIECES = [
    *"()[]{}|~+,='\"#:\\\0\n\t ", "Genotype(", "normal=", "reduce_concat=", "range(2, 6)", "range(0, 999999999)",
    "('none', 0)", "|none~0|", '{"format": ', '"cells": [', "None", "connectN=", "-1", "1e999", "9" * 400, "0x10", "é",
    "\ud800", '""', '"":', f"__import__('pathlib').Path('{TRAP}').touch()", "lambda: 0", "NaN", "Infinity", "true",
]  # fmt: skip
SLOWEST = 2.0  # seconds that a text of a megabyte may take, on a machine that does other things too


def valid_texts(dice):
    """A text of a random genotype of a random space."""
    spaces = [load_space(name) for name in resources.names("search_spaces")]
    while True:
        genotype = dice.choice(spaces).sample(dice)
        for form in ("json", "darts", "nas_bench_201"):
            try:
                yield genotype.to_text(form)
            except GenotypeError:
                continue


def damaged(text, other, dice):
    """The text after a few random edits."""
    for _ in range(dice.choice((1, 1, 2, 3, 8, 30))):
        at, to = sorted(dice.randrange(len(text) + 1) for _ in range(2))
        piece = dice.choice(PIECES)
        match dice.randrange(7):
            case 0:
                text = text[:at] + piece + text[at:]
            case 1:
                text = text[:at] + text[min(to, at + dice.randrange(1, 9)) :]
            case 2:
                text = text[:at] + chr(dice.randrange(dice.choice((128, 0x3000)))) + text[at + 1 :]
            case 3:
                text = text[:at] + text[at:to] * dice.choice((2, 3)) + text[to:]
            case 4:
                text = text[:at] + other[dice.randrange(len(other)) :]
            case 5:
                text = text[:at]
            case 6 if dice.random() < 0.02:
                text = text[:at] + piece * dice.randrange(1, 1_000_000 // len(piece)) + text[at:]
        text = text[:1_100_000]
    return text


def check(text):
    """Read a text; whether it is a genotype.

    Raises:
        AssertionError: what is read or refused breaks a rule.
    """
    try:
        genotype = Genotype.read(text)
    except GenotypeError as error:
        assert error.lines and all(len(line) < 500 and "\n" not in line for line in error.lines), error.lines
        return False
    assert Genotype.from_json(genotype.to_json()) == genotype
    return True


def main(minutes=1.0, seed=0):
    dice, started = random.Random(seed), time.monotonic()
    texts, last = valid_texts(dice), next(valid_texts(dice))
    count = read = 0
    slowest = 0.0
    while time.monotonic() - started < 60 * minutes:
        text = next(texts)
        last, hostile = text, damaged(text, last, dice)
        before = time.process_time()
        try:
            read += check(hostile)
        except BaseException:
            sys.stderr.write(f"failed at text {count}: {hostile[:2000]!r}\n")
            raise
        slowest = max(slowest, time.process_time() - before)
        count += 1
    assert slowest < SLOWEST, f"a text took {slowest:.2f} s"
    assert not TRAP.exists(), "a text was run"
    sys.stdout.write(
        f"{count} texts in {minutes:g} min: {read} read, {count - read} refused; slowest {slowest:.3f} s\n"
    )


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
