"""`nasdrop train`: from any genotype to a trained network."""

from pathlib import Path

import click

from nasdrop.cli.options import Override


@click.command()
@click.argument("cell")
@click.argument("words", type=Override(), nargs=-1, metavar="[EXPERIMENT] [KEY=VALUE]...")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder. [default: runs/<cell>-<name>-<digest>]")
@click.option("--seeds", type=click.IntRange(1), help="Trainings, each with its own seed. [default: final.seeds]")
@click.option(
    "--inherit",
    type=click.Path(path_type=Path),
    help="Start from the weights of the supernet that this run folder holds, not from scratch.",
)
@click.option("--resnet", is_flag=True, help="Beside it, train a residual network of as many parameters.")
@click.option("--validate", is_flag=True, help="Hold the validation split out, and score it after every epoch.")
@click.option("--fresh", is_flag=True, help="Start anew; an old run is kept beside, renamed.")
def train(
    cell: str,
    words: tuple[str, ...],
    out: Path | None,
    seeds: int | None,
    inherit: Path | None,
    resnet: bool,  # noqa: FBT001 - click passes options by name
    validate: bool,  # noqa: FBT001
    fresh: bool,  # noqa: FBT001
) -> None:
    """Train CELL as EXPERIMENT says, on train + validation data, and score it once on test.

    CELL is a published name such as DARTS_V2, a text or a file of a genotype, or a run folder, whose best cell is
    meant. EXPERIMENT is a file or a shipped name, by default the run folder's own or digits; its search is left out.
    Settings are changed by KEY=VALUE, such as train.epochs=600. The same command again, or `nasdrop resume` of the run
    folder, continues. Under torchrun the processes share each batch.
    """
    from nasdrop.cli.search import run_and_tell
    from nasdrop.experiment import open_folder
    from nasdrop.retrain import cell_experiment

    experiment, overrides = ("", words) if not words or "=" in words[0] else (words[0], words[1:])
    wanted = {
        "final.seeds": seeds,
        "final.inherit": inherit and str(inherit),
        "final.resnet": "true" if resnet else None,
        "final.validate_epochs": "true" if validate else None,
    }
    overrides += tuple(f"{key}={value}" for key, value in wanted.items() if value is not None)
    settings = cell_experiment(cell, experiment, overrides)
    run_and_tell(settings, open_folder(settings, out, fresh=fresh))
