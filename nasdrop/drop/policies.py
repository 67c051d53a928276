"""Which paths drop together: the policies of PathDrop, with their sources. One mechanism draws them all (paths.py)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nasdrop.drop.draws import Path
from nasdrop.drop.functional import check_mode
from nasdrop.drop.survivors import RULES
from nasdrop.errors import DropError, suggest

Unit = Literal["path", "cell"]


@dataclass(frozen=True)
class Policy:
    """What tells one policy from another.

    Args:
        text: What drops, in one line.
        source: Paper and code that this follows.
        unit: What one decision covers.
        only_identity: Whether nothing but identity paths drops.
        fan_in: Whether a path of a node with n droppable inputs drops with p^(1/n).
        rules: Survivor rules that may be asked for; the first takes the place of "none" where "none" is not among them.
        choice: What a draw chooses beside factors.
        global_share: Share of draws that run one column alone.
    """

    text: str
    source: str
    unit: Unit = "path"
    only_identity: bool = False
    fan_in: bool = False
    rules: tuple[str, ...] = ("none", "revive", "redraw")
    choice: Literal["", "operations", "columns"] = ""
    global_share: float = 0.0


POLICIES: dict[str, Policy] = {
    "edge": Policy(
        "every path by itself, for each sample or batch",
        "DARTS, 1806.09055 (discrete edges, identity exempt); RobustDARTS, 1909.09656 (mixed edges, nothing exempt)",
    ),
    "node": Policy(
        "every path by itself, but a node keeps at least k of its inputs",
        "survivor rule of FractalNet, 1605.07648, on any node",
        rules=("revive", "redraw"),
    ),
    "fan-in": Policy(
        "every path by itself with p^(1/n) for n droppable inputs, so that a node falls silent with probability p",
        "D-X-Y/AutoDL-Projects, nas_infer_model",
        fan_in=True,
        rules=("none",),
    ),
    "cell": Policy(
        "all paths of a cell together",
        "NATS-Bench, 2009.00437; D-X-Y/AutoDL-Projects generic_model",
        unit="cell",
        rules=("none",),
    ),
    "skip": Policy(
        "skip connections alone; meant for the schedule p-darts",
        "P-DARTS, 1904.12760, on whole paths (its code drops elements: a Dropout module after the skip)",
        only_identity=True,
        rules=("none",),
    ),
    "groups": Policy(
        "candidate operations, in groups of which one always stays; p is the probability that a whole group would drop",
        "DropNAS, 2201.11679; wiljohnhong/DropNAS",
        rules=("redraw",),
        choice="operations",
    ),
    "local": Policy(
        "inputs of a fractal join; a join that loses all revives one, and the mean is over the live ones",
        "FractalNet, 1605.07648; gustavla/fractalnet",
        rules=("revive", "redraw"),
        choice="columns",
    ),
    "global": Policy(
        "one column of a fractal network runs alone",
        "FractalNet, 1605.07648",
        rules=("revive", "redraw"),
        choice="columns",
        global_share=1.0,
    ),
    "fractal": Policy(
        "local or global, half and half",
        "FractalNet, 1605.07648",
        rules=("revive", "redraw"),
        choice="columns",
        global_share=0.5,
    ),
}
"""All policies by name."""

OPERATION_GROUPS: tuple[tuple[str, ...], ...] = (
    ("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"),
    ("max_pool_3x3", "avg_pool_3x3", "skip_connect", "none"),
)
"""DropNAS's two groups of the DARTS operations: with weights, and without."""


def check_fit(policy: str, paths: Sequence[Path], num_columns: int, groups: Sequence[Sequence[str]]) -> None:
    """Refuse paths that lack what a policy looks at, or that have one name twice."""
    twice = [name for name, count in Counter(path.name for path in paths).items() if count > 1]
    mistakes = [f"PathDrop: names of paths have to differ, got {name} more than once" for name in twice]
    choice = POLICIES[policy].choice
    if choice == "columns":
        missing = set(range(max(1, num_columns))) - {path.column for path in paths}
        if missing or any(path.column is None for path in paths):
            mistakes.append(f"PathDrop: policy {policy!r} needs paths of columns 0, 1, ..., got none of {missing}")
    if choice == "operations":
        known = [name for names in groups for name in names]
        homeless = [path.name for path in paths if path.edge is None]
        mistakes += [f"PathDrop: policy 'groups' needs the edge of path {name}, got None" for name in homeless]
        unknown = dict.fromkeys(path.operation for path in paths if path.operation not in known)
        mistakes += [f"PathDrop: operation {name!r} is in no group; {suggest(name, known)}" for name in unknown]
    if mistakes:
        raise DropError(*mistakes)


def check_policy(policy: str, mode: str, survivors: str, at_least: int, *, exempt_identity: bool) -> str:
    """Check that the options fit the policy; give back the survivor rule in force."""
    if policy not in POLICIES:
        raise DropError(f"PathDrop: no policy {policy!r}; {suggest(policy, POLICIES)}")
    check_mode("PathDrop", mode)
    if survivors not in RULES:
        raise DropError(f"PathDrop: no survivor rule {survivors!r}; {suggest(survivors, RULES)}")
    traits = POLICIES[policy]
    mistakes = []
    rule = traits.rules[0] if survivors == "none" else survivors
    if rule not in traits.rules:
        mistakes.append(
            f"PathDrop: policy {policy!r} takes no survivor rule {survivors!r}; {suggest(rule, traits.rules)}"
        )
    if traits.choice == "operations" and mode != "batch":
        mistakes.append(f"PathDrop: policy {policy!r} decides once a batch: mode has to be 'batch', got {mode!r}")
    if traits.only_identity and exempt_identity:
        mistakes.append(
            f"PathDrop: policy {policy!r} drops only identity paths: exempt_identity has to be False, got True"
        )
    if at_least < 1 or (at_least > 1 and rule == "none"):
        mistakes.append(f"PathDrop: at_least has to be 1, or above it with a survivor rule, got {at_least!r}")
    if mistakes:
        raise DropError(*mistakes)
    return rule
