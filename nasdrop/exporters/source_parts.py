"""The text of the building blocks that plain source consists of: what nasdrop.models builds, written for torch alone.

`{n}` stands for the number of spatial sides. A test compares every block with the module it stands for.
"""

import inspect
from collections.abc import Iterable

from nasdrop.models.layers import AveragePool3d

_RELU_CONV_NORM = '''
def relu_conv_norm(channels_in, channels_out, kernel, stride=1):
    """ReLU, convolution, batch norm."""
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv{n}d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm{n}d(channels_out),
    )
'''

_DEPTHWISE = '''
def depthwise(channels, kernel, stride, dilation=1):
    """ReLU, one convolution a channel, pointwise convolution, batch norm."""
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv{n}d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv{n}d(channels, channels, 1, bias=False),
        nn.BatchNorm{n}d(channels),
    ]
'''

_SEP_CONV = '''
def sep_conv(channels, kernel, stride):
    """Twice depthwise and pointwise; the first has the stride."""
    return nn.Sequential(*depthwise(channels, kernel, stride), *depthwise(channels, kernel, 1))
'''

_DIL_CONV = '''
def dil_conv(channels, kernel, stride):
    """Depthwise with dilation 2, and pointwise."""
    return nn.Sequential(*depthwise(channels, kernel, stride, dilation=2))
'''

_BY_AXIS = '''
def conv_by_axis(channels, kernel, stride):
    """ReLU, one convolution along each side, the last side first, batch norm."""
    layers = [nn.ReLU()]
    for axis in reversed(range({n})):
        along = [kernel if side == axis else 1 for side in range({n})]
        strides = [stride if side == axis else 1 for side in range({n})]
        padding = [side // 2 for side in along]
        layers.append(nn.Conv{n}d(channels, channels, along, strides, padding, bias=False))
    return nn.Sequential(*layers, nn.BatchNorm{n}d(channels))
'''

_EVERY = '''
def every(x, stride, start=0):
    """Every `stride`-th position of each side."""
    return x[(slice(None), slice(None), *[slice(start, None, stride)] * {n})]
'''

_FACTORIZED_REDUCE = '''
class FactorizedReduce(nn.Module):
    """Halve the sides without losing positions: pointwise convolutions of the even and of the odd positions."""

    def __init__(self, channels_in, channels_out):
        super().__init__()
        half = channels_out // 2
        self.even = nn.Conv{n}d(channels_in, channels_out - half, 1, bias=False)
        self.odd = nn.Conv{n}d(channels_in, half, 1, bias=False) if half else None
        self.norm = nn.BatchNorm{n}d(channels_out)

    def forward(self, x):
        x = F.relu(x)
        reduced = self.even(every(x, 2))
        if self.odd is not None:
            missing = [amount for side in reversed(x.shape[2:]) for amount in (0, side % 2)]
            reduced = torch.cat((reduced, self.odd(F.pad(every(x, 2, start=1), missing))), 1)
        return self.norm(reduced)
'''

_SKIP_CONNECT = '''
def skip_connect(channels, stride):
    """The input as it is; at stride 2 a factorized reduction."""
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)
'''

_AVERAGE_POOL = '''
def average_pool(kernel, stride, padding=0, ceil_mode=False):
    """Mean over a window, of the positions inside the map only."""
    return {average}(kernel, stride, padding, ceil_mode, count_include_pad=False)
'''

_NOISE = '''
class Noise(nn.Module):
    """Standard normal noise of the output's shape, in training and in evaluation."""

    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        return torch.randn_like(every(x, self.stride))
'''

_RESIDUAL_REDUCTION = '''
class ResidualReduction(nn.Module):
    """Between stages: two ReLU-conv-norm, the first with stride 2, beside pool and projection."""

    def __init__(self, channels_in, channels_out):
        super().__init__()
        self.first = relu_conv_norm(channels_in, channels_out, 3, 2)
        self.second = relu_conv_norm(channels_out, channels_out, 3)
        self.pool = average_pool(2, 2, ceil_mode=True)
        self.projection = nn.Conv{n}d(channels_in, channels_out, 1, bias=False)

    def forward(self, x):
        return self.projection(self.pool(x)) + self.second(self.first(x))
'''

_NEEDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "relu_conv_norm": (_RELU_CONV_NORM, ()),
    "depthwise": (_DEPTHWISE, ()),
    "sep_conv": (_SEP_CONV, ("depthwise",)),
    "dil_conv": (_DIL_CONV, ("depthwise",)),
    "conv_by_axis": (_BY_AXIS, ()),
    "every": (_EVERY, ()),
    "FactorizedReduce": (_FACTORIZED_REDUCE, ("every",)),
    "skip_connect": (_SKIP_CONNECT, ("FactorizedReduce",)),
    "average_pool": (_AVERAGE_POOL, ()),
    "Noise": (_NOISE, ("every",)),
    "ResidualReduction": (_RESIDUAL_REDUCTION, ("relu_conv_norm", "average_pool")),
}
"""Name -> (text, names that it uses); in the order in which they are written."""

OPERATIONS: dict[str, tuple[str, str]] = {
    "skip_connect": ("skip_connect", "skip_connect(channels, {stride})"),
    "avg_pool_3x3": ("average_pool", "average_pool(3, {stride}, 1)"),
    "max_pool_3x3": ("", "nn.MaxPool{n}d(3, {stride}, 1)"),
    "max_pool_5x5": ("", "nn.MaxPool{n}d(5, {stride}, 2)"),
    "max_pool_7x7": ("", "nn.MaxPool{n}d(7, {stride}, 3)"),
    "sep_conv_3x3": ("sep_conv", "sep_conv(channels, 3, {stride})"),
    "sep_conv_5x5": ("sep_conv", "sep_conv(channels, 5, {stride})"),
    "sep_conv_7x7": ("sep_conv", "sep_conv(channels, 7, {stride})"),
    "dil_conv_3x3": ("dil_conv", "dil_conv(channels, 3, {stride})"),
    "dil_conv_5x5": ("dil_conv", "dil_conv(channels, 5, {stride})"),
    "conv_1x1": ("relu_conv_norm", "relu_conv_norm(channels, channels, 1, {stride})"),
    "conv_3x3": ("relu_conv_norm", "relu_conv_norm(channels, channels, 3, {stride})"),
    "conv_3x1_1x3": ("conv_by_axis", "conv_by_axis(channels, 3, {stride})"),
    "conv_7x1_1x7": ("conv_by_axis", "conv_by_axis(channels, 7, {stride})"),
    "nor_conv_1x1": ("relu_conv_norm", "relu_conv_norm(channels, channels, 1, {stride})"),
    "nor_conv_3x3": ("relu_conv_norm", "relu_conv_norm(channels, channels, 3, {stride})"),
    "noise": ("Noise", "Noise({stride})"),
    "none": ("", "nn.Identity()"),
}
"""Operation -> (the block it needs, the call that builds it)."""


def blocks(names: Iterable[str], ndim: int) -> str:
    """The text of these blocks and of all that they use, each once.

    Args:
        names: names of blocks; empty ones are left out.
        ndim: number of spatial sides, 1 to 3.
    """
    wanted: set[str] = set()
    waiting = [name for name in names if name]
    while waiting:
        name = waiting.pop()
        wanted.add(name)
        waiting += _NEEDS[name][1]
    texts = [text for name, (text, _) in _NEEDS.items() if name in wanted]
    average = f"nn.AvgPool{ndim}d"
    if ndim == 3 and "average_pool" in wanted:
        # torch's own refuses maps smaller than the window.
        average = AveragePool3d.__name__
        texts.insert(0, "\n" + inspect.getsource(AveragePool3d))
    return "\n".join(text.replace("{n}", str(ndim)).replace("{average}", average) for text in texts)
