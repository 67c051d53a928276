"""A trained network as one ONNX file, compared with the network by onnxruntime before it is kept.

onnx, onnxscript and onnxruntime (extra `export`) are imported only here, when such a file is wanted.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nasdrop.errors import InputError, RunError
from nasdrop.exporters.program import export_program
from nasdrop.files import replacing

if TYPE_CHECKING:
    import onnx

BATCHES = (1, 2, 7)
"""Numbers of images that a file is tried with."""

TOLERANCE = 1e-5
"""Largest difference of a logit, as a share of the largest logit or of 1, whichever is more."""


def save_onnx(network: nn.Module, shape: tuple[int, ...], path: Path, metadata: Mapping[str, str]) -> float:
    """Write the ONNX file of a network in evaluation mode, whole or not at all; its batch size is free.

    Args:
        network: its mode is restored afterwards.
        shape: (C, *spatial) of one image.
        path: where to.
        metadata: texts that the file carries: genotype, classes, mean, std and the like.

    Returns:
        The largest difference of a logit between onnxruntime and torch, as a share of the largest logit or of 1.

    Raises:
        InputError: the packages are not installed.
        RunError: a random operation is left in the graph, or onnxruntime computes something else than torch.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401 - wanted before the slow conversion
        import onnxscript  # noqa: F401 - torch's exporter uses it
    except ImportError as error:
        raise InputError(f"{path.name}: ONNX needs more packages: pip install 'nasdrop[export]'") from error
    model = _convert(network, shape)
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    difference = max(_difference(content, network, torch.randn(batch, *shape)) for batch in BATCHES)
    if not difference <= TOLERANCE:
        raise RunError(f"{path}: onnxruntime must give torch's logits within {TOLERANCE:g}, got {difference:.2g}")
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return difference


def _convert(network: nn.Module, shape: tuple[int, ...]) -> "onnx.ModelProto":
    """From the same program as `.pt2`, so that what is refused there is refused here."""
    with _quiet():
        program = torch.onnx.export(
            export_program(network, shape),
            input_names=["images"],
            output_names=["logits"],
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # noqa: S101 - dynamo=True returns a program
    return program.model_proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what torch's exporter prints, logs and warns of: its own calls, packages that are not needed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _difference(content: bytes, network: nn.Module, images: Tensor) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": images.numpy()})
    training, device = network.training, next(network.parameters()).device
    network.eval()
    try:
        with torch.no_grad():
            expected = network(images.to(device)).cpu()
    finally:
        network.train(training)
    return float((torch.from_numpy(logits) - expected).abs().max() / max(1.0, float(expected.abs().max())))
