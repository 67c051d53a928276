"""What a trial chooses: a cell, and the settings that are searched beside it, as ordinary parameters of Optuna."""

import math
import random
from collections.abc import Mapping

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from nasdrop.beside import Scalar, acts, whole
from nasdrop.settings import BesideSettings

Distribution = CategoricalDistribution | IntDistribution | FloatDistribution


class Suggestions:
    """The settings that trials choose beside the cell, in the order of the experiment.

    Args:
        beside: what each is searched among, by its dotted key.
    """

    def __init__(self, beside: Mapping[str, BesideSettings]) -> None:
        self.beside = beside
        self.distributions = {key: distribution(options) for key, options in beside.items()}

    def suggest(self, trial: Trial) -> dict[str, Scalar]:
        """What this trial has for them; a setting that does not act is not asked for."""
        chosen: dict[str, Scalar] = {}
        for key, options in self.beside.items():
            if acts(options, chosen):
                chosen[key] = _suggest(trial, key, self.distributions[key])
        return chosen

    def draw(self, rng: random.Random) -> dict[str, Scalar]:
        """Random ones."""
        chosen: dict[str, Scalar] = {}
        for key, options in self.beside.items():
            if acts(options, chosen):
                chosen[key] = _drawn(self.distributions[key], rng)
        return chosen


def distribution(options: BesideSettings) -> Distribution:
    """Options as Optuna names them."""
    if options.choices:
        return CategoricalDistribution(options.choices)
    assert options.low is not None and options.high is not None  # noqa: S101 - checked when they were read
    if whole(options):
        return IntDistribution(int(options.low), int(options.high), log=options.log, step=int(options.step or 1))
    return FloatDistribution(options.low, options.high, log=options.log, step=options.step)


def _suggest(trial: Trial, key: str, options: Distribution) -> Scalar:
    if isinstance(options, CategoricalDistribution):
        chosen: Scalar = trial.suggest_categorical(key, options.choices)  # type: ignore[assignment]  # None is no choice
        return chosen
    if isinstance(options, IntDistribution):
        return trial.suggest_int(key, options.low, options.high, step=options.step, log=options.log)
    return trial.suggest_float(key, options.low, options.high, step=options.step, log=options.log)


def _drawn(options: Distribution, rng: random.Random) -> Scalar:
    if isinstance(options, CategoricalDistribution):
        drawn: Scalar = rng.choice(options.choices)  # type: ignore[assignment]  # None is no choice
        return drawn
    low, high, step = options.low, options.high, options.step
    if options.log:
        value = min(high, max(low, math.exp(rng.uniform(math.log(low), math.log(high)))))
        return round(value) if isinstance(options, IntDistribution) else value
    return rng.uniform(low, high) if step is None else low + step * rng.randint(0, round((high - low) / step))
