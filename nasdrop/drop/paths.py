"""PathDrop: the masks of all paths of a network, drawn at once, as data that a forward takes as its input.

A path is what enters a node's sum: an edge of a cell, an input of a fractal join, or a candidate operation of an edge.
Factors are multiplied into that sum: 0, or 1 / P(live), so that every path keeps its expectation under every policy.
A draw is a pure function of (rates, seed, epoch, step), made for the global batch, of which each rank takes its rows.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Literal, Self

import torch
from torch import Tensor, nn

from nasdrop.drop.draws import Draw, Path
from nasdrop.drop.masks import check_rate
from nasdrop.drop.modules import keep_float32
from nasdrop.drop.policies import OPERATION_GROUPS, POLICIES, Policy, check_fit, check_policy
from nasdrop.drop.seeds import step_seed
from nasdrop.drop.survivors import Nodes
from nasdrop.errors import DropError

__all__ = ["Draw", "Path", "PathDrop"]


class PathDrop(nn.Module):
    """Draws which paths of a network drop.

    Args:
        paths: Every path that is multiplied, in the order of the rows of `factors`.
        policy: A name in POLICIES.
        mode: "row" decides for each sample, "batch" once for all of them.
        exempt_identity: Whether identity paths never drop.
        survivors: What happens to a node that loses too many inputs: "none" leaves it silent, "revive" brings back
            uniformly chosen ones, "redraw" draws the node again.
        at_least: Inputs that a node keeps under a survivor rule.
        groups: For the policy "groups", the names of the operations of each group.
        global_share: For fractal policies, the share of draws that run one column alone; the policy's own by default.

    Raises:
        DropError: paths, policy and options do not fit each other.
    """

    rates: Tensor
    _droppable: Tensor
    _unit: Tensor
    _root: Tensor
    _size: Tensor
    _column: Tensor
    _nodes: Nodes

    def __init__(
        self,
        paths: Iterable[Path],
        policy: str = "edge",
        mode: Literal["row", "batch"] = "row",
        *,
        exempt_identity: bool = False,
        survivors: Literal["none", "revive", "redraw"] = "none",
        at_least: int = 1,
        groups: Sequence[Sequence[str]] = OPERATION_GROUPS,
        global_share: float | None = None,
    ) -> None:
        super().__init__()
        self.paths = tuple(paths)
        self.policy = policy
        self.mode = mode
        self.exempt_identity = exempt_identity
        self.num_columns = max((path.column + 1 for path in self.paths if path.column is not None), default=0)
        self.groups = groups
        self._rule = check_policy(policy, mode, survivors, at_least, exempt_identity=exempt_identity)
        self._at_least = at_least
        share = self._traits.global_share if global_share is None else global_share
        self.global_share = torch.tensor(float(check_rate("PathDrop global_share", share)), device="cpu")
        check_fit(policy, self.paths, self.num_columns, groups)
        self._build()

    @property
    def droppable(self) -> tuple[bool, ...]:
        """Which paths can drop at all under this policy."""
        exempt = [self.exempt_identity and path.identity for path in self.paths]
        wrong_kind = [self._traits.only_identity and not path.identity for path in self.paths]
        return tuple(not (a or b) for a, b in zip(exempt, wrong_kind, strict=True))

    def set_rates(self, rates: float | Sequence[float] | Tensor) -> None:
        """Set the rate of every path, or one rate for all; a path that cannot drop keeps 0.

        Raises:
            DropError: a rate is not in [0, 1], or their number is not that of the paths.
        """
        values = torch.as_tensor(rates, dtype=torch.float32, device="cpu").detach()
        if values.ndim > 1 or (values.ndim == 1 and len(values) != len(self.paths)):
            raise DropError(
                f"PathDrop: one rate, or one for each of {len(self.paths)} paths, got {tuple(values.shape)}"
            )
        if not bool(((values >= 0.0) & (values <= 1.0)).all()):
            raise DropError(f"PathDrop: rates have to be between 0 and 1, got {rates!r}")
        self.rates.copy_(values * torch.tensor(self.droppable, dtype=torch.float32, device="cpu"))

    def set_global_share(self, share: float) -> None:
        """Set the share of draws that run one column alone.

        Raises:
            DropError: the share is not in [0, 1].
        """
        self.global_share.fill_(float(check_rate("PathDrop global_share", share)))

    def draw(
        self, rates: Tensor, rows: int, seed: int, epoch: int, step: int, *, rank: int = 0, world_size: int = 1
    ) -> Draw:
        """Draw the masks of one step, the same for the same arguments on every device and number of ranks.

        Args:
            rates: Rate of each path (paths,), usually `self.rates`.
            rows: Samples of this rank, as many on every rank.
            seed: Any integer from 0 on.
            epoch: Epoch, from 0.
            step: Step, from 0.
            rank: This process; it takes rows rank * rows .. (rank + 1) * rows of the global batch.
            world_size: Number of processes.

        Raises:
            DropError: rank is outside 0 .. world_size - 1.
        """
        if not 0 <= rank < world_size:
            raise DropError(f"PathDrop.draw: rank has to be between 0 and {world_size - 1}, got {rank!r}")
        generator = torch.Generator("cpu").manual_seed(step_seed(seed, epoch, step))
        columns = rows * world_size if self.mode == "row" else 1
        uniform = torch.rand(self._num_units, columns, generator=generator, device="cpu")
        has_columns = self._traits.choice == "columns"
        switch = torch.rand(2, columns, generator=generator, device="cpu") if has_columns else None
        if self.mode == "row" and world_size > 1:
            own = slice(rank * rows, (rank + 1) * rows)
            uniform, switch = uniform[:, own], None if switch is None else switch[:, own]
        return self._decide(uniform.to(rates.device, non_blocking=True), switch, rates, rows)

    def sample(self, rates: Tensor, rows: int) -> Draw:
        """Draw from the default RNG; usable in a compiled graph, but not repeatable and the same on no two ranks."""
        columns = rows if self.mode == "row" else 1
        uniform = torch.rand(self._num_units, columns, device=rates.device)
        switch = torch.rand(2, columns, device="cpu") if self._traits.choice == "columns" else None
        return self._decide(uniform, switch, rates, rows)

    def forward(self, rows: int) -> Draw:
        """Sample at the current rates."""
        return self.sample(self.rates, rows)

    def live(self, rates: Tensor) -> Tensor:
        """P(live) of each path (paths,) at these rates: the planned rate that is shown is 1 - P(live)."""
        live = self._nodes.live_probability(self._path_rates(rates))
        if self._traits.choice != "columns":
            return live
        share = self.global_share.to(rates.device)
        return (1.0 - share) * live + share / self.num_columns

    def silent(self, rates: Tensor | None = None) -> float:
        """Expected number of nodes a sample that lose all their inputs, at the current rates or at these."""
        return sum(probability for _, probability in self.silent_nodes(rates))

    def silent_nodes(self, rates: Tensor | None = None) -> list[tuple[Hashable, float]]:
        """Each node that can lose all its inputs at once, with the probability of that (0 while the rates are 0)."""
        if self._rule != "none":
            return []
        used = self._path_rates(self.rates if rates is None else rates.to(self.rates.device)).tolist()
        droppable, found = self.droppable, []
        for node, members in self._members(lambda path: path.node).items():
            if all(droppable[index] for index in members):
                decisions = {self._units[index]: used[index] for index in members}
                found.append((node, torch.tensor(list(decisions.values()), dtype=torch.float64).prod().item()))
        return found

    def count_silent(self, dropped: Tensor) -> Tensor:
        """Count, on the device, the nodes and rows in which every input is dropped; bool (paths, rows) gives 0-dim."""
        return self._nodes.spread(dropped.float()).amin(1).sum()

    def extra_repr(self) -> str:
        """Show what drops how."""
        options = [f"{len(self.paths)} paths", f"policy={self.policy}", f"mode={self.mode}"]
        options += ["exempt_identity=True"] if self.exempt_identity else []
        options += [f"survivors={self._rule}"] if self._rule != "none" else []
        options += [f"at_least={self._at_least}"] if self._at_least != 1 else []
        return ", ".join(options)

    @property
    def _traits(self) -> Policy:
        return POLICIES[self.policy]

    def _build(self) -> None:
        """Turn the paths into the index tables that a draw uses."""
        keys = {path.cell: None for path in self.paths} if self._traits.unit == "cell" else range(len(self.paths))
        number = {key: unit for unit, key in enumerate(keys)}
        self._units = [number[path.cell if self._traits.unit == "cell" else i] for i, path in enumerate(self.paths)]
        self._num_units = len(number)
        members = list(self._members(self._node_key).values())
        self._nodes = Nodes(members, self._rule, self._at_least)
        droppable = self.droppable
        root, size = [1] * len(self.paths), [1] * len(self.paths)
        for node in members:
            for index in node:
                size[index] = len(node)
                if self._traits.fan_in or self._traits.choice == "operations":
                    root[index] = max(1, sum(droppable[other] for other in node))
        columns = [-1 if path.column is None else path.column for path in self.paths]
        tables = {"_unit": self._units, "_root": root, "_size": size, "_column": columns}
        for name, table in tables.items():
            self.register_buffer(name, torch.tensor(table, dtype=torch.long), persistent=False)
        self.register_buffer("_droppable", torch.tensor(droppable, dtype=torch.bool), persistent=False)
        self.register_buffer("rates", torch.zeros(len(self.paths)), persistent=False)

    def _node_key(self, path: Path) -> Hashable:
        """What a survivor rule looks at as one: a node, or a group of operations of an edge."""
        if self._traits.choice != "operations":
            return path.node
        return path.edge, next(i for i, names in enumerate(self.groups) if path.operation in names)

    def _members(self, key: Callable[[Path], Hashable]) -> dict[Hashable, list[int]]:
        members: dict[Hashable, list[int]] = {}
        for index, path in enumerate(self.paths):
            members.setdefault(key(path), []).append(index)
        return members

    def _path_rates(self, rates: Tensor) -> Tensor:
        """The rate that each path is drawn with: 0 where exempt, p^(1/n) where the policy says so."""
        used = torch.where(self._droppable, rates, 0.0)
        return used ** (1.0 / self._root) if self._traits.fan_in or self._traits.choice == "operations" else used

    def _decide(self, uniform: Tensor, switch: Tensor | None, rates: Tensor, rows: int) -> Draw:
        """Turn uniforms (units, columns) into a draw; columns is `rows`, or 1 for the whole batch."""
        used = self._path_rates(rates)
        live = self._nodes.draw_live(uniform if self._traits.unit == "path" else uniform[self._unit], used)
        if self._traits.choice == "operations":
            return Draw(None, live[:, 0])
        if switch is None:
            factors = torch.where(live, 1.0 / self._nodes.live_probability(used)[:, None], 0.0)
            return Draw(factors.expand(-1, rows))
        choices = self._choose_columns(switch)
        return Draw(self._join_factors(live, choices.to(rates.device)).expand(-1, rows), choices)

    def _choose_columns(self, switch: Tensor) -> Tensor:
        column = (switch[1] * self.num_columns).long().clamp_max(self.num_columns - 1)
        return torch.where(switch[0] < self.global_share, column, -1)

    def _join_factors(self, live: Tensor, choices: Tensor) -> Tensor:
        """Local rule: n / (number of live inputs). One column alone: n for its input, 0 for the others."""
        num_live = self._nodes.spread(live.float(), 0.0).sum(1, keepdim=True)
        shared = self._nodes.collect(num_live.expand(-1, self._nodes.inputs.shape[1], -1))
        local = torch.where(live, self._size[:, None] / shared, 0.0)
        alone = torch.where(self._column[:, None] == choices, self._size[:, None].float(), 0.0)
        return torch.where(choices >= 0, alone, local)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:  # noqa: FBT001, FBT002 - torch's
        before = self.rates
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.rates = keep_float32(before, self.rates)
        if before.is_meta and not self.rates.is_meta:
            with self.rates.device:
                self._build()
        return self
