"""How many calls a step makes, what path drop adds to them, and one graph for a compiler."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from nasdrop.drop import Draw


def test_a_cell_is_one_graph_for_the_compiler(pair):
    _, packed = pair("tiny")
    cell = packed.cells[0]
    cell.preprocess = nn.ModuleList(nn.Identity() for _ in range(2))
    states = [torch.randn(2, 4, 8, 8, dtype=torch.float64) for _ in range(2)]
    coefficients = torch.rand(5, 4, 1, dtype=torch.float64)
    compiled = torch.compile(cell, backend="aot_eager", fullgraph=True)
    found = compiled(states, coefficients)
    torch.testing.assert_close(found, cell(states, coefficients), rtol=1e-9, atol=1e-9)


class Calls(TorchDispatchMode):
    """Counts the calls that compute: views and fresh memory aside."""

    FREE = (
        "view",
        "expand",
        "t",
        "transpose",
        "permute",
        "select",
        "slice",
        "unsqueeze",
        "squeeze",
        "split",
        "unbind",
        "as_strided",
        "alias",
        "detach",
        "empty",
        "empty_like",
        "new_empty",
        "reshape",
        "_unsafe_view",
        "_to_copy",
    )

    def __init__(self):
        super().__init__()
        self.computed = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket.__name__.split(".")[-1] not in self.FREE:
            self.computed += 1
        return function(*args, **(kwargs or {}))


def step(supernet, x, paths):
    """An architecture step and a weight step, without the optimisers."""
    alphas, weights = supernet.alpha_parameters(), supernet.weight_parameters()
    with supernet.weights_frozen():
        torch.autograd.grad(F.cross_entropy(supernet(x, paths=paths), torch.tensor([0, 1, 2])), alphas)
    mixture = {kind: values.detach() for kind, values in supernet.mixture().items()}
    torch.autograd.grad(F.cross_entropy(supernet(x, mixture, paths), torch.tensor([0, 1, 2])), weights)


def test_path_drop_adds_at_most_four_calls_a_step_and_no_activation(pair, images, draw_for):
    _, packed = pair()
    x, draw = images(), draw_for(packed)
    counts, kept = [], []
    for paths in (Draw(None), draw):
        with Calls() as calls:
            step(packed, x, paths)
        counts.append(calls.computed)
        saved = {}

        def note(tensor, saved=saved):
            saved[tensor.data_ptr()] = tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            packed(x, paths=paths)
        kept.append(sum(saved.values()))
    assert counts[1] - counts[0] <= 4, counts
    coefficients = 3 * 14 * 8 * 3 * 3  # of cells, edges, columns, samples: nothing of the size of a map
    assert kept[1] - kept[0] <= coefficients, kept


def test_the_grouped_layout_makes_a_third_of_the_calls(make, images):
    """A proxy of what a GPU has to start: 14 edges an operation are one call instead of 14."""
    counts = {}
    for layout in ("reference", "grouped"):
        supernet = make("darts", layout=layout).double()
        with Calls() as calls:
            step(supernet, images(), Draw(None))
        counts[layout] = calls.computed
    assert 3 * counts["grouped"] < counts["reference"], counts
