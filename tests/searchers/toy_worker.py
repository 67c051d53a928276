"""A worker whose evaluations cost nothing: `toy_worker.py JOURNAL SPACE TRIALS LABEL`, one line in a log each."""

import math
import os
import random
import sys
from pathlib import Path

from nasdrop.searchers.evaluators import Evaluation
from nasdrop.searchers.result import Silent
from nasdrop.searchers.storage import open_study
from nasdrop.searchers.study import StudySearch
from nasdrop.settings import StudySettings
from nasdrop.space import SearchSpace


class Logged:
    """Writes down every cell that it is asked for, with the number of the worker."""

    def __init__(self, space, log, label):
        self.space, self.label = space, label
        self.log = os.open(log, os.O_APPEND | os.O_CREAT | os.O_WRONLY)

    def __call__(self, genotype, report):
        form = self.space.canonical(genotype)
        os.write(self.log, f"{self.label} {form}\n".encode())
        value = random.Random(form).random()
        report(1, value)
        return Evaluation(value)

    known_costs = None

    def cost(self, genotype, name):
        return math.nan


def search(journal, space, trials, label="", sampler="random"):
    space = SearchSpace.load(space)
    settings = StudySettings(trials=trials, epochs=1, pruner="none", sampler=sampler)
    log = Path(journal).with_suffix(".log")
    evaluator = Logged(space, log, label)
    observer = Silent()
    study = open_study(Path(journal), "s", observer)
    return StudySearch(space, settings, evaluator, study=study, seed=1, observer=observer, label=label)


if __name__ == "__main__":
    journal, space, trials, label = sys.argv[1:]
    search(journal, space, int(trials), label).work()
