"""A shuffled order of labelled samples that keeps the classes in proportion."""

from itertools import pairwise

import numpy as np

from nasdrop.train.readers import Labels


def stratified_order(labels: Labels, seed: int) -> Labels:
    """A shuffled order of which every beginning holds the classes in proportion, to within one image a class.

    Within its class, the image of rank r among n takes the place (r + 1/2) / n; sorting by place interleaves the
    classes. The shuffle sorts the raw output of PCG64, whose stream NumPy promises to keep in all versions.
    """
    keys = np.random.PCG64(seed).random_raw(len(labels))
    shuffled = np.argsort(keys, kind="stable")
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels)
    ends = np.cumsum(counts)
    place = np.empty(len(labels))
    for start, end in pairwise([0, *ends]):
        if end > start:
            place[by_class[start:end]] = (np.arange(end - start) + 0.5) / (end - start)
    return shuffled[np.argsort(place[shuffled], kind="stable")]
