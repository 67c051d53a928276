"""check_paths: where drop path is placed so that it hurts. Reads a network, runs nothing, changes nothing."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import fx, nn

from nasdrop.drop.masks import check_rate
from nasdrop.drop.paths import PathDrop
from nasdrop.drop.targets import find_targets
from nasdrop.errors import NasdropError

_PASSING_METHODS = (
    "view",
    "reshape",
    "flatten",
    "squeeze",
    "unsqueeze",
    "transpose",
    "permute",
    "contiguous",
    "detach",
)
_SAVE_THEIR_OUTPUT = ("relu", "sigmoid", "tanh", "softmax", "logsoftmax", "exp", "sqrt", "rsqrt", "elu", "selu")
_NOT_TRACEABLE = (fx.proxy.TraceError, NasdropError, TypeError, ValueError, RuntimeError, AttributeError, LookupError)


class Finding(NamedTuple):
    """One thing to look at.

    Attributes:
        kind: "silent node", "only path", "in place", or "not checked".
        place: Where it is: a node of a PathDrop, or the name of a module or operation.
        text: What is wrong, in one sentence.
        probability: How often it strikes a sample, where that is known.
    """

    kind: str
    place: str
    text: str
    probability: float | None = None


def check_paths(network: nn.Module, p: float | None = None) -> list[Finding]:
    """Find nodes whose every input can drop at once, drop path on an only path, and in-place hazards.

    The paths of a PathDrop are read from its description; single modules are found by tracing with `torch.fx`, and a
    network that cannot be traced gets the finding "not checked". Tracing takes `a += b` for `a = a + b`.

    Args:
        network: Any module; its training flags are as before afterwards.
        p: Probability of dropping to reckon with; the rates that are set now when none is given.

    Raises:
        DropError: p is not in [0, 1].
    """
    if p is not None:
        check_rate("check_paths", p)
    findings = [
        finding
        for name, module in network.named_modules()
        if isinstance(module, PathDrop)
        for finding in _silent_nodes(name, module, p)
    ]
    modules = {target.name: target.module for target in find_targets(network, "all").modules}
    if modules:
        findings += _check_modules(network, modules, p)
    return findings


def _silent_nodes(name: str, path_drop: PathDrop, p: float | None) -> Iterator[Finding]:
    rates = None if p is None else torch.full_like(path_drop.rates, p)
    inputs: dict[object, list[str]] = {}
    for path in path_drop.paths:
        inputs.setdefault(path.node, []).append(path.name)
    for node, probability in path_drop.silent_nodes(rates):
        kind = "only path" if len(inputs[node]) == 1 else "silent node"
        what = "its only input drops" if kind == "only path" else f"all its {len(inputs[node])} inputs drop at once"
        names = ", ".join(inputs[node])
        yield Finding(kind, f"{name} node {node}", f"{what}, with probability {probability:.4g} ({names})", probability)


def _check_modules(network: nn.Module, modules: dict[str, nn.Module], p: float | None) -> list[Finding]:
    graph = _trace(network, modules)
    if graph is None:
        text = "torch.fx cannot trace it, so its only paths and in-place operations were not looked at"
        return [Finding("not checked", type(network).__name__, text)]
    paths = {target.name: target for target in find_targets(network, "paths").modules}
    findings = []
    for node in graph.nodes:
        if node.op == "call_module" and node.target in paths and not _reaches_output_without(graph, node):
            target = paths[node.target]
            rate = float(getattr(target.module, target.attribute) or 0.0) if p is None else p
            text = "everything goes through it: a sample that drops loses its signal; drop a branch that is added"
            findings.append(Finding("only path", node.target, text, rate))
        findings += _in_place_hazards(node, network, modules)
    return findings


def _trace(network: nn.Module, modules: dict[str, nn.Module]) -> fx.Graph | None:
    """Trace in training mode, else in evaluation mode; drop modules are leaves."""
    kept = {id(module) for module in modules.values()}

    class Tracer(fx.Tracer):
        def is_leaf_module(self, module: nn.Module, name: str) -> bool:
            return id(module) in kept or super().is_leaf_module(module, name)

    flags = [(module, module.training) for module in network.modules()]
    try:
        for training in (True, False):
            network.train(training)
            try:
                return Tracer().trace(network)
            except _NOT_TRACEABLE:
                continue
    finally:
        for module, training in flags:
            module.training = training
    return None


def _reaches_output_without(graph: fx.Graph, removed: fx.Node) -> bool:
    """Whether some way from an input to the output avoids a node."""
    reached: set[fx.Node] = set()
    for node in graph.nodes:
        if node is removed:
            continue
        if node.op == "placeholder" or any(source in reached for source in node.all_input_nodes):
            reached.add(node)
    return any(node.op == "output" and node in reached for node in graph.nodes)


def _in_place_hazards(node: fx.Node, network: nn.Module, modules: dict[str, nn.Module]) -> Iterator[Finding]:
    if not _writes_in_place(node, network) or not node.all_input_nodes:
        return
    written, user = node.all_input_nodes[0], node
    place = str(node.target) if node.op == "call_module" else node.name
    if node.op == "call_module" and node.target in modules and _label(written, network) in _SAVE_THEIR_OUTPUT:
        yield Finding("in place", place, f"overwrites the output of {written.name}, which its backward needs")
    while True:
        others = [other.name for other in written.users if other is not user]
        if others:
            yield Finding("in place", place, f"overwrites {written.name}, which {', '.join(others)} reads as well")
            return
        if written.op == "placeholder":
            yield Finding("in place", place, f"overwrites the input {written.name} of the network")
            return
        if not _passes_its_input_on(written, network, modules):
            return
        written, user = written.all_input_nodes[0], written


def _writes_in_place(node: fx.Node, network: nn.Module) -> bool:
    if node.op == "call_module":
        return bool(getattr(network.get_submodule(str(node.target)), "inplace", False))
    if node.op == "call_function":
        name = getattr(node.target, "__name__", "")
        return bool(node.kwargs.get("inplace")) or name.endswith("_")
    return node.op == "call_method" and str(node.target).endswith("_") and not str(node.target).endswith("__")


def _passes_its_input_on(node: fx.Node, network: nn.Module, modules: dict[str, nn.Module]) -> bool:
    """Whether a node may give back its very input or a view of it: a drop module does when nothing drops."""
    if not node.all_input_nodes:
        return False
    if node.op == "call_module":
        return node.target in modules or isinstance(network.get_submodule(str(node.target)), nn.Identity | nn.Flatten)
    return node.op == "call_method" and node.target in _PASSING_METHODS


def _label(node: fx.Node, network: nn.Module) -> str:
    if node.op == "call_module":
        return type(network.get_submodule(str(node.target))).__name__.lower()
    return getattr(node.target, "__name__", str(node.target)).rstrip("_")
