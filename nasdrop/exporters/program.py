"""A trained network as a program: torch.export's `.pt2`, in evaluation mode, with no drop path left in it."""

from pathlib import Path

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from nasdrop.errors import RunError
from nasdrop.files import replacing


def export_program(network: nn.Module, shape: tuple[int, ...]) -> ExportedProgram:
    """Export for any batch size.

    Args:
        network: its mode is restored afterwards.
        shape: (C, *spatial) of one image.

    Raises:
        RunError: a random operation is left in the graph.
    """
    training = network.training
    network.eval()
    try:
        example = torch.zeros(2, *shape, device=next(network.parameters()).device)
        program = torch.export.export(network, (example,), dynamic_shapes=({0: Dim("batch", min=1)},))
    finally:
        network.train(training)
    if found := random_operations(program):
        raise RunError(f"export: the evaluation graph draws random numbers: {', '.join(found)}")
    return program


def random_operations(program: ExportedProgram) -> list[str]:
    """Names of the operations of a program that draw random numbers; a dropout in evaluation draws none."""
    calls = [node for node in program.graph.nodes if isinstance(node.target, torch._ops.OpOverload)]
    random = {node.target for node in calls if torch.Tag.nondeterministic_seeded in node.target.tags}
    used = {node.target for node in calls if node.target is torch.ops.aten.dropout.default and node.args[2]}
    return sorted(str(target) for target in random - {torch.ops.aten.dropout.default} | used)


def save_program(network: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    """Write the `.pt2` file of a network, whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        torch.export.save(export_program(network, shape), file)
