import io
import math
import random

import pytest
from PIL import Image

from nasdrop.errors import InputError
from nasdrop.searchers.pictures import METRICS, edges_over_epochs, picture_cell, picture_rates, tell_settings
from nasdrop.settings import Experiment
from nasdrop.space import Genotype, SearchSpace


class Kept:
    """Keeps what a recorder is given."""

    def __init__(self):
        self.pictures, self.settings = [], []

    def image(self, tag, png, step=0):
        self.pictures.append((tag, step, Image.open(io.BytesIO(png)).size))

    def hparams(self, settings, metrics):
        self.settings.append((dict(settings), metrics))


def test_a_cell_and_its_edges_become_pictures():
    kept = Kept()
    picture_cell(kept, Genotype.read("DARTS_V2"), 4)
    picture_rates(kept, [{}, {}], None, 1)
    assert [(tag, step) for tag, step, _ in kept.pictures] == [("cell", 4)]
    assert min(kept.pictures[0][2]) > 300


def test_the_heat_map_has_a_row_an_edge_and_a_gap_where_nothing_was_counted():
    means = [{"mean": 0.1, "cell_00": 0.1, "normal/edge_00": 0.1}, {"normal/edge_00": 0.2, "reduction/edge_01": 0.3}]
    heat = edges_over_epochs([*means, {"operation/none": 0.5}])
    assert list(heat.rows) == ["normal/edge 00", "reduction/edge 01"]
    assert heat.rows["normal/edge 00"][:2] == [0.1, 0.2]
    assert math.isnan(heat.rows["normal/edge 00"][2])
    assert math.isnan(heat.rows["reduction/edge 01"][0])
    assert edges_over_epochs([{"mean": 0.1}]) is None


def test_settings_have_the_names_of_the_experiment_file():
    kept, space = Kept(), SearchSpace.load("tiny")
    experiment = Experiment.model_validate({"name": "x", "space": "tiny", "drop": {"p": 0.3, "schedule": "cosine"}})
    tell_settings(kept, experiment, space, space.sample(random.Random(0)))
    ((settings, metrics),) = kept.settings
    assert metrics == METRICS
    assert settings["drop.p"] == 0.3 and settings["drop.schedule"] == "cosine" and settings["space"] == "tiny"
    assert {type(value) for value in settings.values()} <= {str, int, float, bool}
    decisions = {f"genotype.{decision.name}" for decision in space.decisions}
    assert {key for key in settings if key.startswith("genotype.")} == decisions
    assert not any(key.startswith(("search.", "network.fractal")) for key in settings)
    tell_settings(kept, experiment, space, None)
    assert set(settings) - set(kept.settings[1][0]) == decisions
    tell_settings(kept, experiment, space, None, drop=False)
    assert kept.settings.pop()[0]["drop.p"] == 0.0
    changed = experiment.model_copy(update={"drop": experiment.drop.model_copy(update={"survivors": "revive"})})
    tell_settings(kept, changed, space, None)
    assert set(kept.settings[2][0]) - set(kept.settings[1][0]) == {"drop.survivors"}


def test_a_heat_map_of_nothing_is_refused():
    from nasdrop.view.heat import HeatMap

    with pytest.raises(InputError, match="needs a value that is a number"):
        HeatMap("x", {"a": [math.nan]})
