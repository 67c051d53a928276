"""What the contract leaves to the functions themselves: messages, warnings, and torch's own kernels."""

import pytest
import torch

from nasdrop import drop
from nasdrop.errors import DropError


@pytest.mark.parametrize("rank", [0, 1, 4, 5])
def test_dropout1d_refuses_other_ranks_even_in_evaluation(rank: int) -> None:
    for training in (True, False):
        with pytest.raises(DropError, match=f"dropout1d: Expected 2D or 3D input, but received a {rank}D input"):
            drop.dropout1d(torch.ones([2] * rank), 0.5, training)


def test_channels_need_dimensions() -> None:
    with pytest.raises(DropError, match="Feature dropout requires at least 2 dimensions in the input, got 1"):
        drop.feature_alpha_dropout(torch.ones(4), 0.5, True)
    with (
        pytest.raises(DropError, match="at least 1 dimension without a batch, got 0"),
        pytest.warns(UserWarning, match="0-D"),
    ):
        drop.dropout3d(torch.tensor(1.0), 0.5, True)


def test_the_warning_names_the_ambiguity_and_the_caller() -> None:
    with pytest.warns(UserWarning, match=r"3D input is taken as \(N, C, L\)") as caught:
        drop.dropout2d(torch.ones(2, 3, 4), 0.5, True)
    assert caught[0].filename == __file__


def test_a_tensor_p_of_0_gives_equal_values_and_1_zeros_without_looking() -> None:
    x = torch.randn(50, 3)
    assert torch.equal(drop.drop_path(x, torch.tensor(0.0), True), x)
    assert torch.equal(drop.dropout(x, torch.tensor(0.0), True), x)
    assert torch.equal(drop.alpha_dropout(x, torch.tensor(0.0), True), x)
    assert torch.equal(drop.alpha_dropout(x, torch.tensor(1.0), True), torch.zeros_like(x))


def test_drop_path_defaults_are_timm_s() -> None:
    x = torch.ones(100, 2)
    assert drop.drop_path(x, 0.5) is x
    assert drop.drop_path(x, training=True) is x
    assert set(drop.drop_path(x, 0.5, True).flatten().tolist()) == {0.0, 2.0}


def test_every_public_name_is_there() -> None:
    assert all(hasattr(drop, name) for name in drop.__all__)
