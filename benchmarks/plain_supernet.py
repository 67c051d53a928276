"""The plain supernet that benchmarks/supernet.py measures against: DARTS's search network as its paper describes it.

One module an edge and candidate, channels first, every gradient computed in both steps (arXiv:1806.09055), and drop
path in place on each mixed edge, as in RobustDARTS (arXiv:1909.09656). Written from the papers' descriptions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)


class Zero(nn.Module):
    """No operation."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride].mul(0.0)


class Halve(nn.Module):
    """Two strided pointwise convolutions, of the even and of the odd positions."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.even = nn.Conv2d(channels_in, channels_out // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(channels_in, channels_out // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(channels_out, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        return self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], dim=1))


def depthwise(channels: int, kernel: int, stride: int, dilation: int) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=False),
    ]


def build(name: str, channels: int, stride: int) -> nn.Module:
    kernel = int(name[-1]) if name[-1].isdigit() else 0
    if name == "none":
        return Zero(stride)
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else Halve(channels, channels)
    if name.startswith("sep"):
        return nn.Sequential(*depthwise(channels, kernel, stride, 1), *depthwise(channels, kernel, 1, 1))
    if name.startswith("dil"):
        return nn.Sequential(*depthwise(channels, kernel, stride, 2))
    if name.startswith("max"):
        pool: nn.Module = nn.MaxPool2d(3, stride, 1)
    else:
        pool = nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    return nn.Sequential(pool, nn.BatchNorm2d(channels, affine=False))


def drop_path(x: Tensor, p: float) -> Tensor:
    keep = 1.0 - p
    mask = torch.empty(len(x), 1, 1, 1, dtype=x.dtype, device=x.device).bernoulli_(keep)
    return x.div_(keep).mul_(mask)


class Mixed(nn.Module):
    """The weighted sum of all operations of an edge."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.operations = nn.ModuleList(build(name, channels, stride) for name in OPERATIONS)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        return sum(w * operation(x) for w, operation in zip(weights, self.operations, strict=True))


class Cell(nn.Module):
    """Two inputs, four nodes, fourteen mixed edges."""

    def __init__(self, before: int, latest: int, channels: int, reduction: bool, reduced_before: bool) -> None:
        super().__init__()
        one = nn.Conv2d(latest, channels, 1, bias=False)
        other = nn.Conv2d(before, channels, 1, bias=False)
        norms = [nn.BatchNorm2d(channels, affine=False) for _ in range(2)]
        self.first = Halve(before, channels) if reduced_before else nn.Sequential(nn.ReLU(), other, norms[0])
        self.second = nn.Sequential(nn.ReLU(), one, norms[1])
        self.edges = nn.ModuleList(
            Mixed(channels, 2 if reduction and source < 2 else 1) for node in range(2, 6) for source in range(node)
        )

    def forward(self, before: Tensor, latest: Tensor, weights: Tensor, p: float) -> Tensor:
        states, edge = [self.first(before), self.second(latest)], 0
        for _ in range(4):
            values = []
            for source in states:
                value = self.edges[edge](source, weights[edge])
                values.append(drop_path(value, p) if self.training and p > 0 else value)
                edge += 1
            states.append(sum(values))
        return torch.cat(states[2:], dim=1)


class PlainSuperNet(nn.Module):
    """DARTS's search network; `p` is the rate of drop path."""

    def __init__(self, channels: int = 16, num_cells: int = 8, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.p = 0.0
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, 3 * channels, 3, padding=1, bias=False), nn.BatchNorm2d(3 * channels)
        )
        self.cells = nn.ModuleList()
        before = latest = 3 * channels
        reduced = False
        for index in range(num_cells):
            reduction = index in (num_cells // 3, 2 * num_cells // 3)
            channels *= 2 if reduction else 1
            self.cells.append(Cell(before, latest, channels, reduction, reduced))
            before, latest, reduced = latest, 4 * channels, reduction
        self.reductions = {num_cells // 3, 2 * num_cells // 3}
        self.classifier = nn.Linear(latest, num_classes)
        self.alphas = nn.ParameterDict(
            {kind: 1e-3 * torch.randn(14, len(OPERATIONS)) for kind in ("normal", "reduction")}
        )

    def forward(self, x: Tensor) -> Tensor:
        before = latest = self.stem(x)
        for index, cell in enumerate(self.cells):
            weights = F.softmax(self.alphas["reduction" if index in self.reductions else "normal"], dim=-1)
            before, latest = latest, cell(before, latest, weights, self.p)
        return self.classifier(F.adaptive_avg_pool2d(latest, 1).flatten(1))
