"""Data sets, augmentation, the training loop, checkpoints and records. Sees an nn.Module, never our models."""

from nasdrop.train.batches import eval_batches, num_steps, train_batches
from nasdrop.train.checkpoint import load_weights, save_weights
from nasdrop.train.data import Dataset, Images, load
from nasdrop.train.device import choose_device, deterministic, set_threads, worker_devices
from nasdrop.train.loop import fit
from nasdrop.train.optim import DivergedError, learning_rate
from nasdrop.train.ranks import ALONE, Ranks
from nasdrop.train.record import Recorder, read_metrics
from nasdrop.train.report import EpochReport, FitResult
from nasdrop.train.score import Score, evaluate, evaluate_parts
from nasdrop.train.sources import SOURCES, locate
from nasdrop.train.statistics import reestimate

__all__ = [
    "ALONE",
    "SOURCES",
    "Dataset",
    "DivergedError",
    "EpochReport",
    "FitResult",
    "Images",
    "Ranks",
    "Recorder",
    "Score",
    "choose_device",
    "deterministic",
    "eval_batches",
    "evaluate",
    "evaluate_parts",
    "fit",
    "learning_rate",
    "load",
    "load_weights",
    "locate",
    "num_steps",
    "read_metrics",
    "reestimate",
    "save_weights",
    "set_threads",
    "train_batches",
    "worker_devices",
]
