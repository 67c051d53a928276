"""Policies have sources, and what does not fit them is refused with the reason."""

from typing import Any

import pytest

from nasdrop.drop import OPERATION_GROUPS, POLICIES, Path, PathDrop
from nasdrop.errors import DropError

EDGES = [Path(f"{node}/{i}", node, 0, 1.0) for node in range(2) for i in range(2)]
JOINS = [Path(f"{join}/{column}", join, 0, 1.0, column=column) for join in range(2) for column in range(1 - join, 3)]
CANDIDATES = [Path(f"{e}/{name}", e, 0, 1.0, name, edge=e) for e in range(2) for name in sum(OPERATION_GROUPS, ())]


def test_every_policy_says_what_drops_and_where_that_is_from() -> None:
    assert all(policy.text and policy.source for policy in POLICIES.values())


@pytest.mark.parametrize(
    ("paths", "policy", "options", "text"),
    [
        (EDGES, "edges", {}, "no policy 'edges'; did you mean 'edge'"),
        (EDGES, "edge", {"mode": "rows"}, "mode has to be one of row, batch, got 'rows'"),
        (EDGES, "edge", {"survivors": "some"}, "no survivor rule 'some'"),
        (EDGES, "cell", {"survivors": "revive"}, "takes no survivor rule 'revive'"),
        (EDGES, "skip", {"exempt_identity": True}, "exempt_identity has to be False, got True"),
        (EDGES, "edge", {"at_least": 2}, "at_least has to be 1, or above it with a survivor rule, got 2"),
        (EDGES, "node", {"at_least": 0}, "at_least has to be 1"),
        (CANDIDATES, "groups", {}, "mode has to be 'batch', got 'row'"),
        (EDGES, "groups", {"mode": "batch"}, "needs the edge of path 0/0"),
        ([Path("a", 0, 0, 1.0, "conv", edge=0)], "groups", {"mode": "batch"}, "operation 'conv' is in no group"),
        (EDGES, "local", {}, "needs paths of columns"),
        (JOINS[1:2], "global", {}, "got none of {0, 1}"),
        (JOINS, "fractal", {"global_share": 2.0}, "between 0 and 1, but got 2.0"),
        (EDGES + EDGES[:1], "edge", {}, "names of paths have to differ, got 0/0 more than once"),
    ],
)
def test_what_does_not_fit_is_refused(paths: list[Path], policy: str, options: dict[str, Any], text: str) -> None:
    with pytest.raises(DropError) as caught:
        PathDrop(paths, policy, **options)
    assert text in str(caught.value)


def test_all_mistakes_at_once() -> None:
    with pytest.raises(DropError) as caught:
        PathDrop(EDGES, "skip", exempt_identity=True, survivors="revive", at_least=0)
    assert len(caught.value.lines) == 3
    with pytest.raises(DropError) as caught:
        PathDrop(EDGES, "groups", "batch")
    assert len(caught.value.lines) == 5
