"""The command line: results go to stdout, all else to stderr; a user's mistake is one clear line and exit code 2.

Commands import what they need when they run, so that `nasdrop --help` never pays for torch.
"""

import importlib
import sys
import threading
import traceback
from collections.abc import Sequence
from importlib import metadata

import click

from nasdrop.errors import NasdropError, redacted

# name -> (module, attribute, one line of help)
COMMANDS = {
    "init": ("nasdrop.cli.init", "init", "Look at your own data and write an experiment for it."),
    "search": (
        "nasdrop.cli.search",
        "search",
        "Search cells as an experiment file says, then train and score the best.",
    ),
    "train": ("nasdrop.cli.train", "train", "Train a known cell by the field's recipe and score it on test."),
    "resume": ("nasdrop.cli.search", "resume", "Continue a run from its folder alone."),
    "status": ("nasdrop.cli.status", "status", "Tell how a search stands: trials, workers, best cell, time left."),
    "worker": ("nasdrop.cli.worker", "worker", "Run trials of a search, beside any number of other workers."),
    "sweep": ("nasdrop.cli.sweep", "sweep", "Run an experiment at every point of a grid and tabulate it."),
    "show": ("nasdrop.cli.show", "show", "Show a run, a genotype or a search space."),
    "export": ("nasdrop.cli.export", "export", "Write a run's cell or network in a form that others read."),
    "predict": ("nasdrop.cli.predict", "predict", "Tell the classes of your files, by a trained network."),
    "spaces": ("nasdrop.cli.info", "spaces", "List the search spaces."),
    "config": ("nasdrop.cli.info", "config", "Show an experiment with all its defaults, or the schema of such files."),
    "drop": ("nasdrop.cli.drop", "drop", "List drop policies and schedules, or draw one before anything runs."),
    "report": ("nasdrop.cli.report", "report", "Write runs as one HTML page to read, to print or to send."),
    "tensorboard": ("nasdrop.cli.tensorboard", "tensorboard", "Open runs in TensorBoard."),
    "doctor": ("nasdrop.cli.info", "doctor", "Check this machine: versions, device, data sets, disk."),
}


class Commands(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order in which a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - the table above is ours
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(metadata.version("nasdrop"), prog_name="nasdrop")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def nasdrop(debug: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Search neural cells under drop-path regularisation.

    Start with: nasdrop search experiments/digits.toml
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 the run failed, 2 the input was wrong, 130 interrupted."""
    threading.excepthook = _tell_thread
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(given))


def run(arguments: list[str]) -> int:
    """Run one command; its exit code."""
    try:
        nasdrop.main(args=arguments, prog_name="nasdrop", standalone_mode=False)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted; what was done is kept. The same command continues it.", err=True)
        return 130
    except NasdropError as error:
        _tell(error, error.lines, arguments)
        return error.exit_code
    except BrokenPipeError:  # `nasdrop show ... | head`
        sys.stderr.close()
        return 0
    except Exception as error:  # noqa: BLE001 - a disk, a memory, a user's own code, or a mistake of ours: one line too
        _tell(error, [_unforeseen(error)], arguments)
        return 1
    return 0


def _tell(error: Exception, lines: Sequence[str], arguments: Sequence[str]) -> None:
    if "--debug" in arguments:
        click.echo(redacted("".join(traceback.format_exception(error))), err=True)
    click.echo("\n".join(f"Error: {redacted(line)}" for line in lines), err=True)


def _tell_thread(error: threading.ExceptHookArgs) -> None:
    """Nothing of a full disk: TensorBoard's writer raises it in the main thread too, which tells it in one line."""
    if not isinstance(error.exc_value, OSError):
        threading.__excepthook__(error)


def _unforeseen(error: Exception) -> str:
    """One line for an error that nobody has put into words."""
    reason = " ".join(str(error).split())[:300] or "no detail"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in reason.lower()):
        return f"out of memory: {reason}"
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{place.filename}: line {place.lineno}: {type(error).__name__}: {reason}; `nasdrop --debug ...` tells more"
