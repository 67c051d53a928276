"""`nasdrop predict`: a trained network applied to a user's files."""

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasdrop.errors import InputError

if TYPE_CHECKING:
    from nasdrop.prediction import Answer


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--top", type=click.IntRange(1), default=1, show_default=True, help="Classes a sample to tell.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all probabilities.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV: file, class, probability.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def predict(
    bundle: Path,
    files: tuple[Path, ...],
    top: int,
    as_json: bool,  # noqa: FBT001 - click passes options by name
    as_csv: bool,  # noqa: FBT001 - likewise
    device: str,
) -> None:
    """Tell the class of each of FILES, by the network in BUNDLE.

    BUNDLE is a run folder, or the folder that `nasdrop export --all` wrote. FILES are pictures, or folders of pictures;
    .npy or .npz files (x) where the network was trained on an .npz file. They are brought to the size and the
    normalisation of the training.
    """
    if as_json and as_csv:
        raise InputError("--csv: excludes --json, got both")
    from nasdrop.prediction import Predictor

    predictor = Predictor(bundle, device)
    answers: list[Answer] = []
    try:
        for answer in predictor(files):
            answers.append(answer)  # noqa: PERF402 - what came before an error is kept
    finally:  # files that cannot be read are told after the answers of the others
        _print(answers, predictor.classes, top, as_json=as_json, as_csv=as_csv)


def _print(answers: Sequence["Answer"], classes: Sequence[str], top: int, *, as_json: bool, as_csv: bool) -> None:
    if as_json:
        click.echo(json.dumps([_facts(answer, classes) for answer in answers], indent=2))
        return
    rows = [
        (answer.name, classes[place], answer.probabilities[place])
        for answer in answers
        for place in answer.ranked()[:top]
    ]
    if as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["file", "class", "probability"])
        writer.writerows((name, label, f"{share:.6f}") for name, label, share in rows)
        return
    from nasdrop.view.terminal import stdout_console, table

    stdout_console().print(table(["file", "class", "probability"], [(*row[:2], f"{row[2]:.4f}") for row in rows]))


def _facts(answer: "Answer", classes: Sequence[str]) -> dict[str, object]:
    best = answer.ranked()[0]
    shares = dict(zip(classes, answer.probabilities, strict=True))
    return {
        "file": answer.name,
        "class": classes[best],
        "probability": answer.probabilities[best],
        "probabilities": shares,
    }
