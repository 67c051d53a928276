"""DARTS: a softmax mixes all candidates; first order, or through one unrolled step (arXiv:1806.09055).

The second order is in `second_order.py`; nothing else of the strategy depends on the order.
"""

from typing import ClassVar

from nasdrop.searchers.gradient.strategy import Strategy
from nasdrop.settings import DartsSettings


class Darts(Strategy[DartsSettings]):
    """The base strategy as it is."""

    paper: ClassVar[str] = "DARTS: Differentiable Architecture Search, arXiv:1806.09055"
