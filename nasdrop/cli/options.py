"""Arguments that several commands share, with shell completion."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click
from click.shell_completion import CompletionItem

from nasdrop import config, resources
from nasdrop.settings import Experiment


class ExperimentFile(click.ParamType[str]):
    """A shipped experiment's name or the path of a file."""

    name = "experiment"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Shipped names, then files."""
        shipped = [CompletionItem(name) for name in resources.names("experiments") if name.startswith(incomplete)]
        return shipped or [CompletionItem(incomplete, type="file")]


class Override(click.ParamType[str]):
    """`a.b=value`."""

    name = "key=value"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Dotted keys of an experiment."""
        keys = config.flatten(Experiment(name="x"))
        return [CompletionItem(f"{key}=") for key in keys if key.startswith(incomplete)]


experiment_argument = click.argument("experiment", type=ExperimentFile())
overrides_argument = click.argument("overrides", type=Override(), nargs=-1, metavar="[KEY=VALUE]...")

storage_option = click.option(
    "--storage",
    default="",
    envvar="NASDROP_STORAGE",
    help="Database URL of the study, such as postgresql+psycopg://user@host/name; or NASDROP_STORAGE.  "
    "[default: a journal file in the run folder]",
)


def load_experiment(name_or_path: str, overrides: tuple[str, ...]) -> Experiment:
    """Find, read and check an experiment."""
    return config.load(Experiment, resources.find("experiments", name_or_path), overrides)


@contextmanager
def as_interrupt(number: int) -> Iterator[None]:
    """Inside, a signal does what Ctrl-C does: schedulers end jobs by SIGTERM."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(number, interrupt)
    try:
        yield
    finally:
        signal.signal(number, before)
