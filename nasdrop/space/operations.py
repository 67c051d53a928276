"""Names of the candidate operations that nasdrop knows, each with its family.

The names are those of the DARTS lineage's texts. A family says what a canonical form may assume of an operation; how
one is computed is the models' business.
"""

from enum import Enum


class Family(Enum):
    """What is known of an operation as a function of its input."""

    ZERO = "zero"
    """Gives zero, whatever comes in."""
    IDENTITY = "identity"
    """Gives what comes in, at stride 1; at stride 2 it is a convolution (FactorizedReduce)."""
    POOLING = "pooling"
    """Has no weights; the pooling of zero is zero."""
    CONVOLUTION = "convolution"
    """Has weights and no bias; the convolution of zero does not look at the image, and counts as zero."""
    NOISE = "noise"
    """Gives Gaussian noise, whatever comes in."""
    OWN = "own"
    """A user's operation: nothing is assumed of it."""


OPERATIONS: dict[str, Family] = {
    "none": Family.ZERO,
    "skip_connect": Family.IDENTITY,
    "avg_pool_3x3": Family.POOLING,
    "max_pool_3x3": Family.POOLING,
    "max_pool_5x5": Family.POOLING,
    "max_pool_7x7": Family.POOLING,
    "sep_conv_3x3": Family.CONVOLUTION,
    "sep_conv_5x5": Family.CONVOLUTION,
    "sep_conv_7x7": Family.CONVOLUTION,
    "dil_conv_3x3": Family.CONVOLUTION,
    "dil_conv_5x5": Family.CONVOLUTION,
    "conv_1x1": Family.CONVOLUTION,
    "conv_3x3": Family.CONVOLUTION,
    "conv_3x1_1x3": Family.CONVOLUTION,
    "conv_7x1_1x7": Family.CONVOLUTION,
    "nor_conv_1x1": Family.CONVOLUTION,
    "nor_conv_3x3": Family.CONVOLUTION,
    "noise": Family.NOISE,
}
"""Every known operation. `conv_7x1_1x7` is NASNet's 1x7 then 7x1, `nor_conv_*` are NAS-Bench-201's ReLU-conv-BN."""

KNOWN: frozenset[str] = frozenset(OPERATIONS)


def family(name: str) -> Family:
    """The family of an operation; a name that is not known is a user's own."""
    return OPERATIONS.get(name, Family.OWN)
