"""Plain PyTorch source of a discovered network, or of a sequence of layers: one readable file that needs torch alone.

Invariant: the names of its weights are those of the network it was written from, so their state dict loads; the
auxiliary head, which evaluation does not use, and drop path are left out.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from nasdrop.drop import Dropout
from nasdrop.errors import RunError
from nasdrop.exporters.source_parts import OPERATIONS, blocks
from nasdrop.files import replacing, write_text
from nasdrop.models.cell import Cell
from nasdrop.models.network import Network
from nasdrop.models.ops import FactorizedReduce
from nasdrop.models.skeletons import ResidualReduction

Own = Mapping[str, str]
"""A user's own operations: name -> "module:attribute"."""


def source(
    network: Network | nn.Sequential, *, own: Own | None = None, metadata: Mapping[str, str] | None = None
) -> str:
    """Write a network as Python.

    Args:
        network: the discovered network of cells, or one column of a fractal network.
        own: the user's own operations in its space, which the file imports: their modules have to lie beside it.
        metadata: what trained weights carry: `shape`, `classes`, `mean`, `std` (JSON), `test_accuracy`; any may miss.

    Returns:
        A module with `Network`, and `load(path)` for a state dict that `weights` gave.

    Raises:
        RunError: an operation is neither shipped nor among `own`, or a layer has no text.
    """
    own, metadata = own or {}, metadata or {}
    if isinstance(network, nn.Sequential):
        return _sequential(network, metadata)
    cells = {cell.genotype.name: cell for cell in _cells(network)}
    used = dict.fromkeys(edge.operation for cell in cells.values() for edge in cell.genotype.edges)
    if unknown := [name for name in used if name not in OPERATIONS and name not in own]:
        raise RunError(*(f"source: no text for operation {name!r}" for name in unknown))
    needed = [OPERATIONS[name][0] for name in used if name not in own] + [*_blocks_of_skeleton(network)]
    if any(not terms for cell in cells.values() for terms in cell.plan):
        needed.append("every")
    classes = [_cell_class(cell, own, network.ndim) for cell in cells.values()]
    body = _joined([blocks(needed, network.ndim), *classes, _network_class(network), _LOAD])
    imports = [_import(name, own[name]) for name in used if name in own]
    return _joined([_title(network, metadata) + _imports(body, imports) + _constants(metadata), body])


def weights(network: nn.Module) -> dict[str, Tensor]:
    """The state dict that the source's `Network` loads: the network's own without the auxiliary head's."""
    return {name: value for name, value in network.state_dict().items() if not name.startswith("auxiliary.")}


def save_source(
    network: Network | nn.Sequential, path: Path, *, own: Own | None = None, metadata: Mapping[str, str] | None = None
) -> tuple[Path, Path]:
    """Write the source and, beside it with the ending .pt, the weights; each whole or not at all. Gives both paths."""
    written = source(network, own=own, metadata=metadata)
    beside = path.with_suffix(".pt")
    with replacing(beside) as temporary, temporary.open("wb") as file:
        torch.save(weights(network), file)
    write_text(path, written)
    return path, beside


def _cells(network: Network) -> list[Cell]:
    return [cast(Cell, cell) for cell in network.cells]


def _blocks_of_skeleton(network: Network) -> Iterator[str]:
    """The blocks that make the inputs of the cells."""
    for cell in _cells(network):
        for module in cell.preprocess:
            if isinstance(module, nn.Sequential):
                yield "relu_conv_norm"
            elif isinstance(module, FactorizedReduce | ResidualReduction):
                yield type(module).__name__


def _joined(parts: Iterable[str]) -> str:
    return "\n\n".join(part.strip("\n") + "\n" for part in parts if part)


def _sequential(network: nn.Sequential, metadata: Mapping[str, str]) -> str:
    """A class with a line a layer."""
    layers = [f"            {expression(layer)}," for layer in network]
    head = ["class Network(nn.Sequential):", "    def __init__(self):", "        super().__init__("]
    body = _joined(["\n".join([*head, *layers, "        )"]), _LOAD])
    title = _docstring("One column of a fractal network found by nasdrop, in plain PyTorch.", [], metadata)
    return _joined([title + _imports(body, []) + _constants(metadata), body])


def _title(network: Network, metadata: Mapping[str, str]) -> str:
    lines = []
    for cell in network.genotype.cells:
        lines += [f"{cell.name}:", *_edge_lines(cell.edges), f"    output: nodes {', '.join(map(str, cell.concat))}"]
    notes = ["Drop path and the auxiliary head act in training alone and are left out."]
    return _docstring("A network of cells found by nasdrop, in plain PyTorch.", lines, metadata, notes)


def _docstring(first: str, lines: Iterable[str], metadata: Mapping[str, str], notes: Iterable[str] = ()) -> str:
    """What the file is: its cells, its input and output, its accuracy, as far as the metadata say."""
    said = [*lines]
    if "shape" in metadata:
        said += [f"Input: float images ({', '.join(map(str, ['N', *json.loads(metadata['shape'])]))})."]
    if "num_classes" in metadata:
        said += [f"Output: logits (N, {metadata['num_classes']})."]
    if "test_accuracy" in metadata:
        said += [f"Test accuracy of the weights that it was written with: {float(metadata['test_accuracy']):.2%}."]
    said += notes
    return "\n".join([f'"""{first}', *(["", *said] if said else []), '"""', ""])


def _imports(body: str, own: Sequence[str]) -> str:
    """What the text uses, and a user's own operations."""
    torch_parts = [f"from torch import {'Tensor, ' if 'Tensor' in body else ''}nn", ""]
    lines = ["", "from typing import Any, cast", ""] if "cast(" in body else [""]
    lines += ["import torch", *(["import torch.nn.functional as F"] if "F." in body else []), *torch_parts]
    if own:
        lines += ["# The operations of one's own: these files have to lie beside this one.", *own, ""]
    return "\n".join(lines)


def _edge_lines(edges: Iterable[tuple[int, int, str]]) -> list[str]:
    return [f"    node {target} += {operation}(node {origin})" for origin, target, operation in edges]


def _import(name: str, reference: str) -> str:
    module, _, attribute = reference.partition(":")
    return f"from {module} import {attribute}" + (f" as {name}" if name != attribute else "")


def _constants(metadata: Mapping[str, str]) -> str:
    if "mean" not in metadata or "std" not in metadata:
        return ""
    lines = ["", "# A value a channel, in the units of the stored pixels: the network takes (pixels - MEAN) / STD."]
    lines += [f"{name.upper()} = {json.loads(metadata[name])!r}" for name in ("mean", "std")]
    lines += [f"CLASSES = {json.loads(metadata['classes'])!r}"] if "classes" in metadata else []
    return "\n".join([*lines, ""])


def class_name(cell: str) -> str:
    """The name of a cell's class: `reduction` gives ReductionCell."""
    return "".join(part.capitalize() for part in cell.split("_")) + "Cell"


def _cell_class(cell: Cell, own: Own, ndim: int) -> str:
    """A class with a line an edge and a line a node."""
    inputs = len(cell.preprocess)
    lines = [f"class {class_name(cell.genotype.name)}(nn.Module):", "    def __init__(self, inputs, channels, stride):"]
    lines += ["        super().__init__()", "        self.preprocess = nn.ModuleList(inputs)"]
    lines.append("        self.edges = nn.ModuleList([")
    for origin, target, operation in cell.genotype.edges:
        call = _call(operation, "stride" if origin < inputs else "1", own, ndim)
        lines.append(f"            {call},  # {origin} -> {target}" + (", left out" if operation == "none" else ""))
    lines += ["        ])", ""]
    states = [f"s{node}" for node in range(inputs)]
    lines.append(f"    def forward(self, {', '.join(states)}):")
    lines += [f"        {state} = self.preprocess[{number}]({state})" for number, state in enumerate(states)]
    for node, terms in enumerate(cell.plan, inputs):
        values = [f"self.edges[{term.edge}](s{term.source})" for term in terms]
        zeros = f"torch.zeros_like(every(s0, {cell.stride}))"
        lines.append(f"        s{node} = " + (" + ".join(values) or zeros))
    outputs = [f"s{node}" for node in cell.concat]
    joined = outputs[0] if len(outputs) == 1 else f"torch.cat(({', '.join(outputs)}), 1)"
    return "\n".join([*lines, f"        return {joined}"])


def _call(operation: str, stride: str, own: Own, ndim: int) -> str:
    if operation in own:
        return f"{operation}(channels, {stride}, ndim={ndim}, affine=True)"
    return OPERATIONS[operation][1].replace("{stride}", stride).replace("{n}", str(ndim))


def _network_class(network: Network) -> str:
    cells = _cells(network)
    inputs = ", ".join(("before", "latest")[-len(cells[0].preprocess) :])
    lines = ["class Network(nn.Module):", "    def __init__(self):", "        super().__init__()"]
    lines += [f"        self.stem = {expression(network.stem)}"]
    one_stem = isinstance(network.second_stem, nn.Identity)
    lines += [] if one_stem else [f"        self.second_stem = {expression(network.second_stem)}"]
    lines += ["        self.cells = nn.ModuleList(["]
    lines += [f"            {_cell_call(cell)}," for cell in cells]
    lines += ["        ])", f"        self.tail = {expression(network.tail)}"]
    lines += (
        [f"        self.dropout = nn.{_DROPOUTS[network.dropout_kind]}({network.dropout!r})"] if network.dropout else []
    )
    lines += [f"        self.classifier = {expression(network.classifier)}", ""]
    lines += ["    def forward(self, x):", f"        before = {'latest = ' if one_stem else ''}self.stem(x)"]
    lines += [] if one_stem else ["        latest = self.second_stem(before)"]
    lines += ["        for cell in self.cells:"]
    lines += [f"            before, latest = latest, cell({inputs})"]
    lines += [f"        features = self.tail(latest).mean({tuple(range(2, network.ndim + 2))})"]
    features = "self.dropout(features)" if network.dropout else "features"
    return "\n".join([*lines, f"        return self.classifier({features})"])


def _cell_call(cell: Cell) -> str:
    made = ", ".join(_preprocessing(module) for module in cell.preprocess)
    return f"{class_name(cell.genotype.name)}([{made}], {cell.channels}, {cell.stride})"


def _preprocessing(module: nn.Module) -> str:
    if isinstance(module, nn.Sequential):
        layer = cast(nn.Conv2d, module[1])
        return f"relu_conv_norm({layer.in_channels}, {layer.out_channels}, {layer.kernel_size[0]})"
    if isinstance(module, FactorizedReduce):
        return f"FactorizedReduce({cast(nn.Conv2d, module.even).in_channels}, {module.norm.num_features})"
    if isinstance(module, ResidualReduction):
        layer = cast(nn.Conv2d, module.projection)
        return f"ResidualReduction({layer.in_channels}, {layer.out_channels})"
    return expression(module)


def expression(module: nn.Module) -> str:
    """The call that builds a plain layer, or a sequence of them.

    Raises:
        RunError: it is a layer that has no text.
    """
    if isinstance(module, nn.Sequential):
        return f"nn.Sequential({', '.join(expression(part) for part in module)})"
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        options = {"stride": 1, "padding": 0, "dilation": 1}
        said = [f"{name}={value}" for name, plain in options.items() if (value := _one(module, name)) != plain]
        said += [f"groups={module.groups}"] if module.groups > 1 else []
        said += ["bias=False"] if module.bias is None else []
        sizes = f"{module.in_channels}, {module.out_channels}, {_one(module, 'kernel_size')}"
        return f"nn.Conv{len(module.kernel_size)}d({', '.join([sizes, *said])})"
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        return f"nn.{type(module).__name__}({module.num_features}{'' if module.affine else ', affine=False'})"
    if isinstance(module, nn.Linear):
        return f"nn.Linear({module.in_features}, {module.out_features})"
    if isinstance(module, nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d):
        return f"nn.{type(module).__name__}({module.kernel_size}, {module.stride}, {module.padding})"
    if isinstance(module, nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d | nn.AdaptiveAvgPool3d):
        return f"nn.{type(module).__name__}({module.output_size})"
    if isinstance(module, nn.Dropout | Dropout):
        return f"nn.Dropout({round(float(module.p), 6)!r})"
    if isinstance(module, nn.ReLU | nn.Identity | nn.Flatten):
        return f"nn.{type(module).__name__}()"
    raise RunError(f"source: no text for a layer of type {type(module).__name__}")


def _one(module: nn.Module, name: str) -> object:
    """A number where all sides have the same, else the tuple."""
    value = getattr(module, name)
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


_DROPOUTS = {"dropout": "Dropout", "alpha_dropout": "AlphaDropout"}
_LOAD = '''
def load(path):
    """The network with trained weights, in evaluation mode; `path` is the file that was exported beside this one."""
    network = Network()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()
'''
