"""SuperNet: every candidate operation of every edge at once, mixed by architecture weights (DARTS, arXiv:1806.09055).

Shapes: (N, C, *S) images, N samples, C channels, *S one to three spatial sides; E edges and O columns of a kind of
cell.
Invariant: the masks of path drop are multiplied into the mixing weights; evaluation drops nothing. Architecture weights
are registered and saved, and are no weight parameters.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from nasdrop.drop.functional import dropout as drop_elements
from nasdrop.drop.paths import Draw, Path, PathDrop
from nasdrop.drop.policies import POLICIES
from nasdrop.errors import ConfigError, DropError
from nasdrop.models.checks import DropOptions, check_factors, check_images, check_options, check_sizes
from nasdrop.models.network import Network, custom_operations
from nasdrop.models.skeletons import Stem, skeleton_of
from nasdrop.models.supernet.candidates import masked_softmax
from nasdrop.models.supernet.cell import Active, Layout, MixedCell
from nasdrop.models.supernet.discretize import discretize_cell
from nasdrop.models.supernet.inherit import estimate_statistics, inherit
from nasdrop.models.supernet.mixing import Mixer, Weights
from nasdrop.models.supernet.paths import unit_of
from nasdrop.models.supernet.recompute import recomputed
from nasdrop.space.genotype import Genotype
from nasdrop.space.space import SearchSpace


class SuperNet(nn.Module):
    """The one-shot network of a space.

    Args:
        space: gives the candidates, the skeleton and a user's own operations.
        channels: channels of the first cells; doubled at each reduction.
        num_cells: cells from stem to head, reductions included.
        num_classes: logits.
        in_channels: channels of the images.
        ndim: spatial sides of the images, 1 to 3.
        layout: see `nasdrop.models.supernet.cell.Layout`.
        partial_channels: k: one of k channels goes through the operations, the others around them (PC-DARTS,
            arXiv:1907.05737); 1: all go through.
        skip_dropout: identities drop elements (P-DARTS, arXiv:1904.12760): each is a `nasdrop.drop.Dropout`, p = 0 at
            first, that a `DropScheduler` finds.
        checkpoint: keep only the inputs of a cell, and compute it again in the backward pass.
        drop: options of `PathDrop`. Nothing is exempt unless it says so (RobustDARTS, arXiv:1909.09656). A path is a
            mixed edge of a cell; under the policy "skip" an identity, under "groups" a candidate of a kind of cell.
        dropout: probability of dropping an element in front of the classifier; constant, no schedule touches it.
        stem: what precedes the cells, as in `Network`.

    `alphas[kind]` is (E, O), E edges and O columns; `operations[kind]` names the columns, `candidates[kind]` the
    operations of each edge, and `available[kind]`, bool (E, O), says which columns each edge has.

    Raises:
        ConfigError: a size is out of range, or the channels cannot be divided as asked.
        DropError: a drop option is wrong.
        SpaceError: an operation is unknown, or a user's own cannot be built.
    """

    def __init__(
        self,
        space: SearchSpace,
        channels: int = 16,
        num_cells: int = 8,
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        ndim: int = 2,
        layout: Layout = "auto",
        partial_channels: int = 1,
        skip_dropout: bool = False,
        checkpoint: bool = False,
        drop: DropOptions | None = None,
        dropout: float = 0.0,
        stem: Stem = "cifar",
    ) -> None:
        super().__init__()
        check_sizes(channels=channels, num_cells=num_cells, num_classes=num_classes, in_channels=in_channels)
        check_sizes(partial_channels=partial_channels)
        check_options(ndim, dropout)
        if channels % partial_channels:
            rule = f"must divide the number of channels, {channels}"
            raise ConfigError(f"partial_channels: {rule}, got {partial_channels}")
        options: DropOptions = drop or {}
        _check_policy(options.get("policy", "edge"))
        outputs = {name: cell.graph.num_nodes if cell.output != "last" else 1 for name, cell in space.cells.items()}
        build = skeleton_of(space)
        skeleton = build(outputs, channels, num_cells, in_channels=in_channels, ndim=ndim, affine=False, stem=stem)
        self.space = space
        self.sizes = (channels, num_cells, num_classes, in_channels)
        self.in_channels = in_channels
        self.ndim = ndim
        self.partial_channels = partial_channels
        self.checkpoint = checkpoint
        self.dropout = dropout
        self.smallest_side = 2**skeleton.reductions
        self.stem_kind = stem
        self.stem = skeleton.stem
        self.second_stem = skeleton.second_stem
        custom = custom_operations(space)
        self.cells = nn.ModuleList(
            MixedCell(
                space.cells[place.cell],
                place.channels,
                place.preprocess,
                ndim=ndim,
                norm_after_pools=skeleton.norm_after_pools,
                partial_channels=partial_channels,
                skip_dropout=skip_dropout,
                layout=layout,
                custom=custom,
            )
            for place in skeleton.places
        )
        self.tail = skeleton.tail
        self.classifier = nn.Linear(skeleton.widths[-1], num_classes)
        self.mixer = Mixer(
            [space.cells[place.cell] for place in skeleton.places], unit_of(options.get("policy", "edge"))
        )
        self.path_drop = PathDrop(self.mixer.paths, **options)
        for kind, candidates in self.mixer.candidates.items():
            self.register_buffer(f"_available_{kind}", candidates.available(), persistent=False)
        self.alphas = nn.ParameterDict(
            {kind: 1e-3 * torch.randn(candidates.shape) for kind, candidates in self.mixer.candidates.items()}
        )

    @property
    def candidates(self) -> dict[str, tuple[tuple[str, ...], ...]]:
        """Kind of cell -> the operations of each edge."""
        return {kind: tuple(edge.operations for edge in found.edges) for kind, found in self.mixer.candidates.items()}

    @property
    def operations(self) -> dict[str, tuple[str, ...]]:
        """Kind of cell -> the names of the columns."""
        return {kind: found.operations for kind, found in self.mixer.candidates.items()}

    @property
    def available(self) -> dict[str, Tensor]:
        """Kind of cell -> which columns each edge has, bool (E, O)."""
        return {kind: self.get_buffer(f"_available_{kind}") for kind in self.mixer.candidates}

    @property
    def paths(self) -> tuple[Path, ...]:
        """All paths: the rows of a draw's factors, or under the policy "groups" its choices."""
        return self.path_drop.paths

    def alpha_parameters(self) -> list[nn.Parameter]:
        """The architecture weights, one matrix a kind of cell."""
        return list(self.alphas.parameters())

    def weight_parameters(self) -> list[nn.Parameter]:
        """Everything that is trained but the architecture weights."""
        alphas = {id(alpha) for alpha in self.alpha_parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in alphas]

    @contextmanager
    def weights_frozen(self) -> Iterator[None]:
        """While this lasts no weight asks for a gradient: an architecture step then computes those of alphas alone."""
        asking = [weight for weight in self.weight_parameters() if weight.requires_grad]
        for weight in asking:
            weight.requires_grad = False
        try:
            yield
        finally:
            for weight in asking:
                weight.requires_grad = True

    def mixture(self) -> dict[str, Tensor]:
        """DARTS's mixing weights: the softmax of the architecture weights, 0 for columns that an edge lacks."""
        return {kind: masked_softmax(self.alphas[kind], mask) for kind, mask in self.available.items()}

    def forward(
        self,
        x: Tensor,
        mixture: Weights | None = None,
        paths: Draw | None = None,
        active: Mapping[str, Active] | None = None,
        *,
        edge_weights: Weights | None = None,
    ) -> Tensor:
        """Classify images.

        Args:
            x: images (N, C, *S).
            mixture: kind of cell -> weights of the operations (E, O), or one table for each of its cells (cells of the
                kind, E, O); columns that an edge lacks are not looked at. None: `self.mixture()`.
            paths: what `path_drop.draw` drew for this step; None: training draws for itself from torch's default
                generator. `Draw(None)` drops nothing. Ignored in evaluation.
            active: kind of cell -> for each edge the columns to compute, as host integers; None: all. What is not
                active adds nothing, whatever its weight.
            edge_weights: kind of cell -> weights of whole edges (E,), or one vector a cell: PC-DARTS's edge
                normalisation, which also weighs what goes around the operations. None: ones.

        Returns:
            Logits (N, classes).

        Raises:
            DataError: images of another rank, number of channels, or too small for the reductions; weights of another
                shape.
            DropError: a draw for other paths or another number of samples.
        """
        check_images(x, self.in_channels, self.ndim, self.smallest_side)
        mixture = self.mixture() if mixture is None else mixture
        factors: Tensor | None = None
        if self.training:
            draw = self.path_drop(len(x)) if paths is None else paths
            factors = draw.factors
            if factors is not None:
                check_factors(factors, len(self.paths), len(x))
            if draw.choices is not None:
                mixture = self.mixer.keep(mixture, draw.choices)
        coefficients = self.mixer(mixture, edge_weights, factors)
        before = self.stem(x)
        latest = self.second_stem(before)
        for index, cell in enumerate(self._cells()):
            inputs = (before, latest)[-cell.num_inputs :]
            around = None if coefficients.edges is None else coefficients.edges[index]
            chosen = None if active is None else active[cell.kind]
            arguments = (inputs, coefficients.operations[index], around, chosen)
            before = latest
            latest = recomputed(cell, *arguments) if self.checkpoint and torch.is_grad_enabled() else cell(*arguments)
        features = self.tail(latest).mean(tuple(range(2, x.dim())))
        return cast(Tensor, self.classifier(drop_elements(features, self.dropout, self.training)))

    def discretize(self, strengths: Weights | None = None) -> Genotype:
        """The genotype that these strengths choose, by DARTS's rule.

        Args:
            strengths: kind of cell -> (E, O), as the strategy compares them. None: `self.mixture()`, in which `none`
                has its share.
        """
        given = self.mixture() if strengths is None else strengths
        cells = self.space.cells.items()
        return Genotype(
            self.space.name, tuple(discretize_cell(cell, given[kind].detach().tolist()) for kind, cell in cells)
        )

    def inherit(
        self, genotype: Genotype, batches: Iterable[Tensor] = (), *, drop: DropOptions | None = None
    ) -> Network:
        """The discovered network, starting from this supernet's weights.

        Args:
            genotype: the cells.
            batches: images (N, C, *S) to estimate the statistics of batch norms with; none: they are this supernet's
                where it has them.
            drop: options of the network's `PathDrop`.

        Raises:
            ConfigError: this supernet has partial channels, whose operations have other weights.
            GenotypeError: the genotype is not of the space.
        """
        if self.partial_channels > 1:
            raise ConfigError(
                f"inherit: operations on a part of the channels have other weights than the network's, "
                f"got partial_channels = {self.partial_channels}"
            )
        ndim, dropout, stem = self.ndim, self.dropout, self.stem_kind
        network = Network(self.space, genotype, *self.sizes, ndim=ndim, dropout=dropout, stem=stem, drop=drop)
        network.to(self.classifier.weight)
        names = ("stem", "second_stem", "tail", "classifier")
        others = [(self.get_submodule(name), network.get_submodule(name)) for name in names]
        inherit(network, list(self._cells()), others)
        estimate_statistics(network, batches)
        return network

    def _cells(self) -> Iterator[MixedCell]:
        return cast(Iterator[MixedCell], iter(self.cells))


def _check_policy(policy: str) -> None:
    if policy in POLICIES and POLICIES[policy].choice == "columns":
        fitting = ", ".join(name for name, entry in POLICIES.items() if entry.choice != "columns")
        raise DropError(f"drop.policy: a supernet has no columns to choose, got {policy!r}; one of: {fitting}")
