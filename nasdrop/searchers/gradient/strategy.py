"""What a strategy decides: how alphas become a mixture, what is added to their loss, and what is discretized.

A strategy holds no random state: whatever it draws comes from torch's default generator, which the loop seeds for each
step, or from the moment's dice; both are the same on every rank.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from nasdrop.models.supernet import masked_softmax
from nasdrop.searchers.gradient.mixture import Alphas, Columns, Mixture, Moment
from nasdrop.settings import GradientSettings
from nasdrop.space import Genotype

S = TypeVar("S", bound=GradientSettings)


class Strategy(Generic[S]):
    """DARTS's rule in each point; a strategy overrides those in which it differs.

    Args:
        settings: of the strategy.
        columns: what the supernet mixes.

    Attributes:
        paper: title and arXiv number.
        one_level: the same batch trains alphas and weights, in one pass.
        samples: the mixture is drawn anew in every step, so that the alphas' loss has no Hessian to look at.
        has_alphas: false where there is nothing to learn but weights.
    """

    paper: ClassVar[str]
    one_level: ClassVar[bool] = False
    samples: ClassVar[bool] = False
    has_alphas: ClassVar[bool] = True

    def __init__(self, settings: S, columns: Columns) -> None:
        self.settings, self.columns = settings, columns
        self.extra: dict[str, nn.Parameter] = {}  # parameters of the architecture beside the alphas

    def mix(self, alphas: Alphas, moment: Moment) -> Mixture:
        """The mixture of a step, differentiable in the alphas."""
        return self.expected(alphas)

    def expected(self, alphas: Alphas) -> Mixture:
        """The mixture that the supernet is scored with."""
        available = self.columns.available
        return Mixture({kind: masked_softmax(alphas[kind], available[kind]) for kind in available})

    def penalty(self, alphas: Alphas) -> Tensor | None:
        """What is added to the loss of the alphas."""
        return None

    def strengths(self, alphas: Alphas) -> dict[str, Tensor]:
        """What is compared when the cell is read off, (E, O) a cell kind; 0 where a column is not available."""
        return dict(self.expected(alphas).weights)

    def read_cell(self, alphas: Alphas, discretize: Callable[[Mapping[str, Tensor]], Genotype]) -> Genotype:
        """The cell that the alphas stand for; `discretize` is the supernet's."""
        return discretize(self.strengths(alphas))

    def after_step(self, alphas: Alphas, before: Alphas, kept: Alphas) -> None:
        """Correct the alphas in place after their step.

        Args:
            alphas: after the step.
            before: their values before it.
            kept: bool (E, O), the candidates that took part.
        """

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the strategy."""
        return {name: parameter.detach().clone() for name, parameter in self.extra.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take that back."""
        with torch.no_grad():
            for name, parameter in self.extra.items():
                parameter.copy_(state[name])
