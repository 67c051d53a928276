"""Modules: p as data, under every move of dtype and device, copy and save."""

import copy
import io
import math
import pickle

import pytest
import torch
from torch import nn

from nasdrop import drop
from nasdrop.errors import DropError

MODULES = [
    drop.Dropout(0.3), drop.AlphaDropout(0.3), drop.FeatureAlphaDropout(0.3), drop.Dropout1d(0.3), drop.Dropout2d(0.3),
    drop.Dropout3d(0.3), drop.DropPath(0.3), drop.StochasticDepth(nn.Identity(), 0.3),
]  # fmt: skip
every = pytest.mark.parametrize("module", MODULES, ids=lambda module: type(module).__name__)


@every
def test_p_stays_fp32_with_its_value(module: nn.Module) -> None:
    model = nn.Sequential(copy.deepcopy(module), nn.Linear(2, 2))
    model[0].p = 0.001
    for move in ("half", "bfloat16", "double", "float"):
        getattr(model, move)()
        assert model[0].p.dtype == torch.float32
        assert model[0].p.item() == torch.tensor(0.001).item()
    model.to(torch.bfloat16)
    assert 1.0 - model[0].p.item() < 1.0
    model.to("meta")
    assert model[0].p.is_meta


def test_a_model_made_without_memory_gets_its_rates_back() -> None:
    with torch.device("meta"):
        model = nn.Sequential(drop.DropPath(0.3), nn.Linear(2, 2))
    assert "p=0.3" in repr(model)
    model.to_empty(device="cpu")
    assert model[0].p.item() == pytest.approx(0.3)


@every
def test_setting_p_checks_it_and_keeps_the_buffer(module: nn.Module) -> None:
    module = copy.deepcopy(module)
    buffer = module.p
    for value in (0.25, 1, torch.tensor(0.5)):
        module.p = value
        assert module.p is buffer
        assert buffer.item() == float(value)
    for value in (-0.1, 1.5, math.nan, "0.5", None, torch.ones(2)):
        with pytest.raises(DropError):
            module.p = value
    assert buffer.item() == 0.5


@every
def test_copies_and_pickles_are_independent(module: nn.Module) -> None:
    copied = copy.deepcopy(module)
    copied.p = 0.9
    assert module.p.item() == pytest.approx(0.3)
    stream = io.BytesIO(pickle.dumps(module))
    assert pickle.load(stream).p.item() == pytest.approx(0.3)  # noqa: S301 - written one line above


@every
def test_a_checkpoint_holds_no_rates(module: nn.Module) -> None:
    assert not module.state_dict()
    assert not list(module.parameters())


@every
def test_repr_shows_p(module: nn.Module) -> None:
    assert "p=0.3" in repr(module)


def test_drop_path_shows_its_options_and_checks_the_mode() -> None:
    assert repr(drop.DropPath(0.25, "batch", scale=False)) == "DropPath(p=0.25, mode=batch, scale=False)"
    with pytest.raises(DropError, match="mode has to be one of row, batch, got 'column'"):
        drop.DropPath(0.1, "column")
    with pytest.raises(DropError, match="0-dimensional"):
        drop.DropPath(0.1)(torch.tensor(1.0))


def test_without_scale_what_is_kept_is_kept_as_it_is() -> None:
    x = torch.rand(400, 3) + 1
    y = drop.DropPath(0.5, scale=False)(x)
    kept = y[:, 0] != 0
    assert torch.equal(y[kept], x[kept])
    assert 100 < int(kept.sum()) < 300
