"""The drop schedules of papers and code bases, each with its source; checked in the first and the last epoch."""

from dataclasses import dataclass

from nasdrop.drop.schedule import CURVES, Schedule
from nasdrop.errors import DropError, suggest


def make_schedule(name: str, p: float | None = None, depth: str = "preset", clock: str = "preset") -> Schedule:
    """The schedule of a curve's or a paper's name, as an experiment file gives it.

    Args:
        name: A name in CURVES or in PRESETS.
        p: Target rate; the preset's own (or 0.2) when none is given.
        depth: A name in DEPTHS; "preset" keeps the preset's, and is flat for a plain curve.
        clock: A name in CLOCKS; "preset" keeps the preset's, and is e/E for a plain curve.

    Raises:
        DropError: a name is unknown or p is not in [0, 1].
    """
    if name in PRESETS:
        schedule = preset(name, p)
    elif name in CURVES:
        schedule = Schedule(curve=name) if p is None else Schedule(p=p, curve=name)
    else:
        raise DropError(f"schedule: no curve or preset {name!r}; {suggest(name, [*CURVES, *PRESETS])}")
    wanted = {"depth": depth, "clock": clock}
    return schedule.changed(**{field: value for field, value in wanted.items() if value != "preset"})


def preset(name: str, p: float | None = None) -> Schedule:
    """The schedule of a paper, with its own target rate unless p is given.

    Raises:
        DropError: no paper of that name is known, or p is not in [0, 1].
    """
    if name not in PRESETS:
        raise DropError(f"schedule: no preset {name!r}; {suggest(name, PRESETS)}")
    schedule = PRESETS[name].schedule
    return schedule if p is None else schedule.changed(p=p)


@dataclass(frozen=True)
class Preset:
    """What a paper does: when and how much (schedule), what (policy), and where that is read from (source).

    Args:
        schedule: Rates over time and depth, with the paper's target rate.
        source: Paper and code that this follows.
        policy: A name in nasdrop.drop.paths.POLICIES.
        mode: "row" for a decision a sample, "batch" for one a batch.
        exempt_identity: Whether identity edges never drop.
        note: What a reader would otherwise get wrong.
    """

    schedule: Schedule
    source: str
    policy: str = "edge"
    mode: str = "row"
    exempt_identity: bool = False
    note: str = ""


PRESETS: dict[str, Preset] = {
    "darts": Preset(
        Schedule(0.2, "linear", "flat", "epoch"),
        "DARTS, 1806.09055; quark0/darts cnn/train.py",
        exempt_identity=True,
        note="evaluation of a discrete network: p e/E, so 0 at first and never quite p; the search has no drop path",
    ),
    "robust-darts": Preset(
        Schedule(0.2, "linear", "flat", "epoch-inclusive"),
        "RobustDARTS, 1909.09656; automl/RobustDARTS",
        note="search: every mixed edge, skips included; p in 0, 0.2, 0.4, 0.6; the best after validation is kept",
    ),
    "nasnet-v1": Preset(
        Schedule(0.4, "linear", "flat", "step"),
        "NASNet, 1707.07012; slim nasnet_utils.py, version v1",
        note="time only",
    ),
    "nasnet-v2": Preset(
        Schedule(0.4, "constant", "linear", "step"),
        "NASNet, 1707.07012; slim nasnet_utils.py, version v2",
        note="depth only",
    ),
    "nasnet-v3": Preset(
        Schedule(0.4, "linear", "linear", "step"),
        "NASNet, 1707.07012; slim nasnet_utils.py, version v3 (its default)",
        note="time and depth; 0.4 on CIFAR-10, 0.3 for the large ImageNet network",
    ),
    "amoebanet": Preset(
        Schedule(0.3, "linear", "flat", "step"),
        "AmoebaNet, 1802.01548; tensorflow/tpu amoeba_net",
        note="always version v1 of NASNet's rule; the depth version is never passed on",
    ),
    "stochastic-depth": Preset(
        Schedule(0.5, "constant", "linear", "epoch"),
        "Deep networks with stochastic depth, 1603.09382; yueatsprograms/Stochastic_Depth",
        mode="batch",
        note="death rate l/L p from the first block on; no scaling in training, evaluation multiplies by survival",
    ),
    "p-darts": Preset(
        Schedule(0.7, "p-darts", "flat", "epoch"),
        "P-DARTS, 1904.12760; chenxin061/pdarts train_search.py",
        policy="skip",
        note="stages 0.1, 0.4, 0.7 of 25 epochs; drops elements of stride-1 skips there, whole skip paths as a policy",
    ),
    "drop-nas": Preset(
        Schedule(3e-5, "constant", "flat", "epoch"),
        "DropNAS, 2201.11679; wiljohnhong/DropNAS",
        policy="groups",
        mode="batch",
        note="p is the probability that all operations of a group drop: each drops with p^(1/4) = 0.0740083",
    ),
    "fractalnet": Preset(
        Schedule(0.15, "constant", "flat", "epoch"),
        "FractalNet, 1605.07648; gustavla/fractalnet",
        policy="fractal",
        mode="batch",
        note="local drop of join inputs, one revived at random; half of the batches run one column alone",
    ),
    "enas": Preset(
        Schedule(0.4, "linear", "linear", "step-ahead"),
        "ENAS, 1802.03268; melodyguan/enas micro search, keep 0.6 in its scripts",
        note="depth counts the layers and the two reductions",
    ),
    "timm-linear": Preset(
        Schedule(0.1, "constant", "linear-from-zero", "epoch"),
        "timm, huggingface/pytorch-image-models: linspace(0, p, L)",
        note="the first block never drops: another rule than stochastic depth's",
    ),
}
"""Schedules of papers and code bases, by name; `preset(name)` gives the schedule alone."""
