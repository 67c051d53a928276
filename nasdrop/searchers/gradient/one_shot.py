"""One-shot by uniform sampling: each step trains one random cell; afterwards many are scored (SPOS, arXiv:1904.00420).

In spaces that keep two edges a node a sampled cell is what random search with weight sharing draws (arXiv:1902.07638).
The scoring is in `inherited.py`.
"""

from typing import ClassVar

from nasdrop.searchers.gradient.mixture import Alphas, Columns, Mixture, Moment, one_hot
from nasdrop.searchers.gradient.strategy import Strategy
from nasdrop.settings import OneShotSettings
from nasdrop.space import SearchSpace


class OneShot(Strategy[OneShotSettings]):
    """A uniformly sampled cell a step."""

    paper: ClassVar[str] = "Single Path One-Shot Neural Architecture Search with Uniform Sampling, arXiv:1904.00420"
    samples: ClassVar[bool] = True
    has_alphas: ClassVar[bool] = False

    def __init__(self, settings: OneShotSettings, columns: Columns, space: SearchSpace) -> None:
        super().__init__(settings, columns)
        self.space = space

    def mix(self, alphas: Alphas, moment: Moment) -> Mixture:
        """One cell of each kind."""
        return one_hot(self.space.sample(moment.dice), self.space, self.columns)
