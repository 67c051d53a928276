"""Settings name what the rooms know: a name in an experiment file is one that the library takes."""

from typing import get_args

import pytest
from pydantic import ValidationError

from nasdrop.drop import CLOCKS, DEPTHS
from nasdrop.models.checks import DROPOUTS
from nasdrop.settings import DropSettings, InheritedSettings, NetworkSettings, OneShotSettings, StudySettings


def test_every_kind_of_dropout_can_be_asked_for():
    assert get_args(NetworkSettings.model_fields["dropout_kind"].annotation) == tuple(DROPOUTS)


@pytest.mark.parametrize(("field", "known"), [("depth", DEPTHS), ("clock", CLOCKS)])
def test_every_profile_and_clock_can_be_asked_for(field, known):
    assert set(get_args(DropSettings.model_fields[field].annotation)) == {"preset", *known}


def test_the_supernet_of_a_study_is_set_as_that_of_the_one_shot_strategy():
    shared = InheritedSettings(epochs=3, channels=5, statistics_batches=2, score_images=7)
    settings = OneShotSettings(kind="gradient", strategy="one_shot", **shared.model_dump())
    assert {name: getattr(settings, name) for name in InheritedSettings.model_fields} == shared.model_dump()
    assert InheritedSettings().epochs == OneShotSettings(kind="gradient", strategy="one_shot").epochs


def test_a_live_worker_shows_signs_of_life_before_it_counts_as_dead():
    assert StudySettings(heartbeat_seconds=1, grace_seconds=2)
    for grace in (1, 2):
        with pytest.raises(ValidationError, match=f"greater than heartbeat_seconds, 2, got {grace}"):
            StudySettings(heartbeat_seconds=2, grace_seconds=grace)
