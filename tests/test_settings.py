"""Settings name what the rooms know: a name in an experiment file is one that the library takes."""

from typing import get_args

import pytest

from nasdrop.drop import CLOCKS, DEPTHS
from nasdrop.settings import DropSettings


@pytest.mark.parametrize(("field", "known"), [("depth", DEPTHS), ("clock", CLOCKS)])
def test_every_profile_and_clock_can_be_asked_for(field, known):
    assert set(get_args(DropSettings.model_fields[field].annotation)) == {"preset", *known}
