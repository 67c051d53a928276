"""Every error that nasdrop raises on purpose.

NasdropError
├── InputError (also a ValueError)   what the user gave is wrong: exit code 2
│   ├── ConfigError                  an experiment file or an `a.b=value` override
│   ├── SpaceError                   a search-space file or a cell graph
│   ├── GenotypeError                a genotype, in any of its texts
│   ├── DropError                    a probability, a mode, a schedule, a rank
│   ├── DataError                    a data set: missing, truncated, of another shape
│   └── RunFolderError               a run folder, a checkpoint, a study journal
└── RunError                         the input was right and the run failed: exit code 1
    ├── DivergedError (train)        a loss is NaN or infinite
    └── Failed (searchers)           one cell cannot be evaluated; others can

A message reads `<place>: <rule>, got <what was given>`, one line a mistake; an error carries all mistakes of its file
at once.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches


class NasdropError(Exception):
    """Base of all errors that nasdrop raises; `lines` holds one mistake each."""

    exit_code = 1

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class InputError(NasdropError, ValueError):
    """What the user gave is wrong; nothing was changed."""

    exit_code = 2


class ConfigError(InputError):
    """An experiment file or an override breaks a rule."""


class SpaceError(InputError):
    """A search-space file or a cell graph breaks a rule."""


class GenotypeError(InputError):
    """A genotype cannot be read, or does not belong to its space."""


class DropError(InputError):
    """A probability, mode, rank, policy or schedule breaks a rule."""


class DataError(InputError):
    """A data set is missing, truncated, or of another shape than promised."""


class RunFolderError(InputError):
    """A run folder, checkpoint or journal is damaged or belongs to another experiment."""


class RunError(NasdropError):
    """The input was right and the run failed."""


_PASSWORDS = (re.compile(r"(://[^\s:/@]*):[^\s@]*@"), re.compile(r"(?i)(password|passwd|pwd)=[^\s&'\"]*"))


def redacted(text: str) -> str:
    """A text for eyes and files, without the passwords of URLs in it."""
    return _PASSWORDS[1].sub(r"\1=***", _PASSWORDS[0].sub(r"\1@", text))


def suggest(name: str, known: Iterable[str]) -> str:
    """End an error line: the nearest of the known names, or all of them when none is near."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(names)}" if names else "none is known"
