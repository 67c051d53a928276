"""torch's six functions and ours: the same values for one seed, the same errors and warnings, on every rank."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasdrop import drop
from nasdrop.errors import DropError

NAMES = ("dropout", "alpha_dropout", "feature_alpha_dropout", "dropout1d", "dropout2d", "dropout3d")
MODULES = ("Dropout", "AlphaDropout", "FeatureAlphaDropout", "Dropout1d", "Dropout2d", "Dropout3d")
SIZES = (5, 4, 3, 2, 3, 2)


def outcome(function: Callable[..., Tensor], *args: Any) -> tuple[Tensor | str, bool, Tensor]:
    """The value or the kind of error, whether it warned, and the state that the RNG is left in."""
    torch.manual_seed(11)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result: Tensor | str = function(*args)
        except (ValueError, RuntimeError, NotImplementedError) as error:
            result = "error" if isinstance(error, DropError) or function.__module__.startswith("torch") else repr(error)
    return result, any(entry.category is UserWarning for entry in caught), torch.get_rng_state()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rank", range(7))
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_values_errors_warnings_and_random_numbers(
    name: str, rank: int, p: float, training: bool, dtype: torch.dtype
) -> None:
    x = torch.randn(SIZES[:rank], dtype=dtype)
    theirs, they_warn, their_state = outcome(getattr(F, name), x, p, training)
    ours, we_warn, our_state = outcome(getattr(drop, name), x, p, training)
    if isinstance(theirs, Tensor):
        assert isinstance(ours, Tensor), ours
        assert torch.equal(ours, theirs)
        assert ours.shape == theirs.shape
        assert torch.equal(our_state, their_state)
    else:
        assert ours == "error"
    assert we_warn == they_warn


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_the_range_error_reads_as_torch_s(name: str, p: float) -> None:
    x = torch.ones(2, 3, 4, 4)[..., 0] if name in ("dropout1d",) else torch.ones(2, 3, 4, 4)
    for function in (getattr(F, name), getattr(drop, name)):
        with pytest.raises(ValueError, match=f"dropout probability has to be between 0 and 1, but got {p}"):
            function(x, p, True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64], ids=str)
def test_both_refuse_what_is_not_floating(name: str, dtype: torch.dtype) -> None:
    x = torch.ones(2, 3, 4, dtype=dtype)
    assert outcome(getattr(F, name), x, 0.5, True)[0] == "error" or dtype == torch.complex64
    assert outcome(getattr(drop, name), x, 0.5, True)[0] == "error"


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_torch_s(name: str) -> None:
    x = torch.randn(3, 4, 5) if name in ("dropout1d", "dropout", "alpha_dropout") else torch.randn(3, 4, 5, 2)
    if name == "dropout3d":
        x = torch.randn(3, 4, 5, 2, 2)
    torch.manual_seed(0)
    theirs = getattr(F, name)(input=x)
    torch.manual_seed(0)
    assert torch.equal(getattr(drop, name)(input=x), theirs)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rank", range(1, 7))
def test_our_own_masks_have_torch_s_shape_on_every_rank(name: str, rank: int) -> None:
    """A tensor p takes our path: what torch shares it shares, what torch decides apart it decides apart."""
    shape = (6, 5, 4, 3, 3, 2)[:rank]
    theirs = outcome(getattr(F, name), torch.ones(shape), 0.5, True)[0]
    ours = outcome(getattr(drop, name), torch.ones(shape), torch.tensor(0.5), True)[0]
    if isinstance(theirs, str):
        assert ours == theirs
        return
    assert isinstance(ours, Tensor)
    assert shared_dims(ours) == shared_dims(theirs)


def shared_dims(y: Tensor) -> list[bool]:
    return [bool((y == y.narrow(dim, 0, 1)).all()) for dim in range(y.ndim)]


@pytest.mark.parametrize("name", MODULES)
def test_modules_take_torch_s_arguments_and_p_is_checked_whenever_it_is_set(name: str) -> None:
    ours, theirs = getattr(drop, name), getattr(nn, name)
    assert float(ours().p) == theirs().p == 0.5
    assert not list(ours().parameters())
    assert not ours().state_dict()
    for p in (-0.1, 1.1):
        for make in (ours, theirs):
            with pytest.raises(ValueError, match="between 0 and 1"):
                make(p)
        module = ours(0.25)
        with pytest.raises(DropError, match="between 0 and 1"):
            module.p = p
        assert float(module.p) == 0.25


@pytest.mark.parametrize("name", NAMES)
def test_inplace_is_refused_with_the_reason(name: str) -> None:
    x = torch.ones(2, 3, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for training in (True, False):
            with pytest.raises(DropError, match="inplace is refused, since it overwrites"):
                getattr(drop, name)(x, 0.5, training, True)
    assert torch.equal(x, torch.ones(2, 3, 4))


@pytest.mark.parametrize("name", MODULES)
def test_modules_refuse_inplace(name: str) -> None:
    with pytest.raises(DropError, match=rf"{name}: inplace is refused"):
        getattr(drop, name)(0.5, True)
