"""A network of discovered cells: stem, cells, heads, and path drop on every edge from one draw a step.

Shapes: (N, C, *S) images, N samples, C channels, *S one to three spatial sides; logits (N, classes).
Invariant: evaluation multiplies nothing; training with all factors one computes the same sums.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from torch import Tensor, nn

from nasdrop.drop.paths import Draw, Path, PathDrop
from nasdrop.drop.policies import POLICIES
from nasdrop.errors import DropError
from nasdrop.models.cell import Cell
from nasdrop.models.checks import DROPOUTS, DropOptions, check_factors, check_images, check_options, check_sizes
from nasdrop.models.custom import load_custom
from nasdrop.models.ops import Builder
from nasdrop.models.skeletons import AuxiliaryHead, Stem, outputs_of, skeleton_of
from nasdrop.space.genotype import Genotype
from nasdrop.space.space import SearchSpace


class Network(nn.Module):
    """The discrete network of a genotype.

    Args:
        space: gives the skeleton and a user's own operations.
        genotype: the cells.
        channels: channels of the first cells; doubled at each reduction.
        num_cells: cells from stem to head, reductions included.
        num_classes: logits.
        in_channels: channels of the images.
        auxiliary: a second classifier after cell 2 num_cells // 3; training then returns two logits.
        ndim: spatial sides of the images, 1 to 3.
        dropout: probability of dropping an element in front of the classifier; constant, no schedule touches it.
        dropout_kind: "dropout" or "alpha_dropout". Elements are means of channels there, so dropping channels in front
            of the pooling would be the same.
        stem: "cifar", or "imagenet" for large images, which it makes eight times smaller ahead of the cells.
        drop: options of `PathDrop`; identity edges are exempt unless it says otherwise.

    `paths` has one path for each edge that is not `none`, named as its operation: `network.get_submodule(path.name)`.

    Raises:
        ConfigError: a size is out of range.
        DropError: a drop option is wrong, or a policy that chooses operations or columns is asked for.
        GenotypeError: the genotype is not of the space.
        SpaceError: an operation is unknown, or a user's own cannot be built.
    """

    def __init__(
        self,
        space: SearchSpace,
        genotype: Genotype,
        channels: int = 36,
        num_cells: int = 20,
        num_classes: int = 10,
        in_channels: int = 3,
        auxiliary: bool = False,  # noqa: FBT001, FBT002 - the published call
        *,
        ndim: int = 2,
        dropout: float = 0.0,
        dropout_kind: str = "dropout",
        stem: Stem = "cifar",
        drop: DropOptions | None = None,
    ) -> None:
        super().__init__()
        check_sizes(channels=channels, num_cells=num_cells, num_classes=num_classes, in_channels=in_channels)
        check_options(ndim, dropout, dropout_kind)
        space.validate(genotype)
        options: DropOptions = {"exempt_identity": True, **(drop or {})}
        _check_policy(options.get("policy", "edge"))
        sizes = (outputs_of(genotype), channels, num_cells)
        skeleton = skeleton_of(space)(*sizes, in_channels=in_channels, ndim=ndim, stem=stem)
        custom = custom_operations(space)
        self.genotype = genotype
        self.in_channels = in_channels
        self.ndim = ndim
        self.dropout, self.dropout_kind = dropout, dropout_kind
        self.smallest_side = 2**skeleton.reductions
        self.stem = skeleton.stem
        self.second_stem = skeleton.second_stem
        self.cells = nn.ModuleList(
            Cell(
                genotype[place.cell],
                place.channels,
                place.stride,
                place.preprocess,
                ndim=ndim,
                exempt_identity=options["exempt_identity"],
                custom=custom,
            )
            for place in skeleton.places
        )
        self.tail = skeleton.tail
        self.classifier = nn.Linear(skeleton.widths[-1], num_classes)
        self.auxiliary_after = 2 * num_cells // 3
        self.auxiliary = (
            AuxiliaryHead(skeleton.widths[self.auxiliary_after], num_classes, ndim=ndim) if auxiliary else None
        )
        self.path_drop = PathDrop(self._find_paths(), **options)

    @property
    def paths(self) -> tuple[Path, ...]:
        """All paths, cell by cell: the rows of a draw's factors."""
        return self.path_drop.paths

    def forward(self, x: Tensor, paths: Draw | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Classify images.

        Args:
            x: images (N, C, *S).
            paths: what `path_drop.draw` drew for this step; None: training draws for itself from torch's default
                generator. `Draw(None)` drops nothing. Ignored in evaluation.

        Returns:
            Logits; in training with an auxiliary head the pair of logits and auxiliary logits.

        Raises:
            DataError: images of another rank, number of channels, or too small for the reductions.
            DropError: a draw for other paths or another number of samples.
        """
        check_images(x, self.in_channels, self.ndim, self.smallest_side)
        factors = self._factors(x.shape[0], paths) if self.training else None
        before = self.stem(x)
        latest = self.second_stem(before)
        auxiliary: Tensor | None = None
        start = 0
        for index, cell in enumerate(self._cells()):
            stop = start + len(cell.path_edges)
            inputs = (before, latest)[-len(cell.preprocess) :]
            before, latest = latest, cell(inputs, None if factors is None else factors[start:stop])
            start = stop
            if self.training and self.auxiliary is not None and index == self.auxiliary_after:
                auxiliary = self.auxiliary(latest)
        features = self.tail(latest).mean(tuple(range(2, x.dim())))
        logits = self.classifier(DROPOUTS[self.dropout_kind](features, self.dropout, self.training))
        return logits if auxiliary is None else (logits, auxiliary)

    def _cells(self) -> Iterator[Cell]:
        return cast(Iterator[Cell], iter(self.cells))

    def _find_paths(self) -> Iterator[Path]:
        """Every edge but `none`, in the order of the cells and their genotypes; a node is the sum that it enters."""
        nodes = 0
        for index, cell in enumerate(self._cells()):
            edges = cell.genotype.edges
            for edge in cell.path_edges:
                yield Path(
                    name=f"cells.{index}.edges.{edge}",
                    node=nodes + edges[edge].target - len(cell.preprocess),
                    cell=index,
                    depth=(index + 1) / len(self.cells),
                    operation=edges[edge].operation,
                    identity=cell.is_identity(edge),
                    place=f"{cell.genotype.name}/edge_{edge:02d}",
                )
            nodes += len(cell.plan)

    def _factors(self, rows: int, draw: Draw | None) -> Sequence[Tensor] | None:
        """One (N, 1, *1) a path, views of the draw's factors (paths, N)."""
        if draw is None:
            draw = self.path_drop.sample(self.path_drop.rates, rows)
        if draw.factors is None:
            return None
        check_factors(draw.factors, len(self.paths), rows)
        return draw.factors.view(len(self.paths), rows, *(1 for _ in range(self.ndim + 1))).unbind(0)


def custom_operations(space: SearchSpace) -> Mapping[str, Builder]:
    """A space's own operations, imported from beside its file."""
    return {operation.name: load_custom(str(operation), operation.file) for operation in space.own_operations}


def _check_policy(policy: str) -> None:
    """Refuse policies that choose what a discrete network has not: they would drop nothing, and say nothing."""
    choice = POLICIES[policy].choice if policy in POLICIES else ""
    if choice:
        fitting = ", ".join(name for name, entry in POLICIES.items() if not entry.choice)
        raise DropError(
            f"drop.policy: a network of discrete cells has no {choice} to choose, got {policy!r}; one of: {fitting}"
        )
