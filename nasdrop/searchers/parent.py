"""Weights to start from: those that a cell inherits from a supernet which another run has trained."""

from dataclasses import replace
from itertools import islice

from torch import nn

from nasdrop.errors import ConfigError, RunFolderError
from nasdrop.models.supernet import SuperNet
from nasdrop.run_folder import RunFolder
from nasdrop.searchers.gradient.part import build_supernet
from nasdrop.searchers.gradient.stages import stages
from nasdrop.searchers.inherited import CHECKPOINT
from nasdrop.searchers.training import Training
from nasdrop.settings import GradientSettings, StudySettings
from nasdrop.space import Genotype, SearchSpace
from nasdrop.train import checkpoint as checkpoints
from nasdrop.train import train_batches
from nasdrop.train.device import isolated_rng

_BATCHES = 8  # of training images, that batch-norm statistics are estimated on


class Parent:
    """Gives the networks of cells the weights of a run's supernet.

    Args:
        folder: of a search by gradient, or of a study that scores cells by inherited weights.
        space: of that run.
        training: whose networks start from these weights; its data must have the supernet's shape and classes.

    Raises:
        ConfigError: that run has no supernet, or its sizes are others.
        RunFolderError: its supernet is not trained yet, or damaged.
    """

    def __init__(self, folder: RunFolder, space: SearchSpace, training: Training) -> None:
        self.folder, self.training = folder, training
        self.supernet = read_supernet(folder, replace(training, experiment=folder.read_experiment(), space=space))

    def __call__(self, network: nn.Module, genotype: Genotype) -> None:
        """Copy the weights that a cell inherits into its network; an auxiliary head keeps its own.

        Raises:
            ConfigError: the network has other sizes than the supernet.
        """
        training = self.training
        settings, data = training.experiment.train, training.data
        batches = train_batches(data.train, data, settings, seed=training.experiment.seed, epoch=0)
        with isolated_rng(training.device):
            heir = self.supernet.inherit(genotype, (images for images, _ in islice(batches, _BATCHES)))
        own, given = network.state_dict(), heir.state_dict()
        wrong = [name for name in own if not name.startswith("auxiliary.") and name not in given]
        wrong += [name for name, value in given.items() if name not in own or own[name].shape != value.shape]
        if wrong:
            here, there = training.experiment.network, self.supernet.sizes
            raise ConfigError(
                f"final.inherit: {self.folder.path} has {there[1]} cells of {there[0]} channels, so must the network, "
                f"got {here.num_cells} of {here.channels} ({wrong[0]} differs)"
            )
        network.load_state_dict(given, strict=False)


def read_supernet(folder: RunFolder, training: Training) -> SuperNet:
    """The supernet that a run has trained, on the device of `training`, which has that run's experiment and space."""
    settings = training.experiment.search
    if isinstance(settings, GradientSettings):
        supernet = build_supernet(training, settings, stages(settings)[-1].num_cells)
        path = folder.checkpoints / "search.pt"
    elif isinstance(settings, StudySettings) and settings.evaluator == "inherited":
        supernet = build_supernet(training, settings.supernet, settings.supernet.num_cells)
        path = folder.checkpoints / CHECKPOINT
    else:
        raise ConfigError(f"final.inherit: only a search over a supernet has weights to inherit, got {folder.path}")
    state = checkpoints.load(path, training.device)
    try:
        supernet.load_state_dict(state["supernet"])
    except (RuntimeError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RunFolderError(f"{path}: not this supernet's: images, classes or sizes differ ({reason})") from error
    return supernet.eval()
