"""A fractal genotype as a network: its block at every place, its options before those of the caller."""

from typing import Any

from nasdrop.errors import GenotypeError
from nasdrop.models.fractal import FractalDrop, FractalNet
from nasdrop.space.fractal import column_operations
from nasdrop.space.fractal_options import read_options
from nasdrop.space.genotype import Genotype


def fractal_network(
    genotype: Genotype,
    channels: int,
    blocks: int,
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    drop: FractalDrop | None = None,
    **conventions: Any,
) -> FractalNet:
    """Build the network of a fractal genotype.

    Args:
        genotype: one fractal block and options.
        channels: what its widths are multiples of; without widths, the published 1, 2, 4, 8, 8.
        blocks: number of blocks.
        num_classes: logits.
        in_channels: channels of the images.
        drop: options of path drop; the genotype's rate and share of single columns win.
        conventions: further arguments of FractalNet.

    Raises:
        GenotypeError: it is no fractal, or an option breaks a rule.
        ConfigError, DropError: as FractalNet.
    """
    if len(genotype.cells) != 1:
        names = ", ".join(cell.name for cell in genotype.cells)
        raise GenotypeError(f"genotype: must be one fractal block, got the cells {names}")
    operations = column_operations(genotype.cells[0])
    options = read_options(dict(genotype.options))
    widths = _of_blocks(options.widths or (1, 2, 4, 8), blocks)
    chosen: dict[str, Any] = {"join": options.join, "p": options.p}
    if options.dropout is not None:
        chosen["dropout"] = _of_blocks(options.dropout, blocks)
    share: FractalDrop = {} if options.global_share is None else {"global_share": options.global_share}
    return FractalNet(
        len(operations),
        blocks,
        [channels * int(width) for width in widths],
        num_classes,
        in_channels,
        operations=operations,
        drop={**(drop or {}), **share},
        **(conventions | {name: value for name, value in chosen.items() if value is not None}),
    )


def _of_blocks(values: tuple[float, ...], blocks: int) -> list[float]:
    """One value a block; the last one counts for the blocks that follow."""
    return [values[min(block, len(values) - 1)] for block in range(blocks)]
