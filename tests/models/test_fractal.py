"""FractalNet: published sizes, what runs under each draw, columns alone, bad input."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nasdrop.drop import Draw
from nasdrop.errors import ConfigError, DataError, DropError
from nasdrop.models.fractal import FractalNet
from nasdrop.models.fractal_units import ORDERS

P_LIVE = {2: 0.86125, 3: 0.851125, 4: 0.8501265625}  # 1 - p + p^n / n at p = 0.15


def small(columns=3, blocks=2, widths=(4, 6), **options):
    return FractalNet(columns, blocks, widths, 10, 3, **{"dropout": [0.0] * blocks, **options})


def freeze_norms(network):
    """Training, but for batch norm, whose statistics would differ from evaluation's."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return network


def spread_norms(network):
    """Statistics unlike those of a new network and of each other, so that one in another's place would show."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0.1, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


def batches_seen(network):
    """For each unit that ran: block, column, slot and how many samples it saw."""
    seen = []
    for b, block in enumerate(network.blocks):
        for c, units in enumerate(block.columns):
            for s, unit in enumerate(units):
                unit.register_forward_hook(lambda _, args, __, at=(b, c, s): seen.append((*at, len(args[0]))))
    return seen


def masked(network, x, factors):
    """Port-style oracle: everything computed for one sample, inputs of joins multiplied, the mean over the live."""
    weights = iter(factors.tolist())
    for block in network.blocks:
        states = [x] * block.num_columns
        for row, columns in enumerate(block.rows):
            last = row == len(block.rows) - 1
            values = [block.unit(row, c)(states[c]) for c in columns]
            values = [block.pool(v) for v in values] if last else values
            live = [next(weights) > 0 for _ in columns] if len(columns) > 1 else [True]
            value = sum(v * on for v, on in zip(values, live, strict=True)) / sum(live)
            for c in columns:
                states[c] = value
        x = states[0]
    return network.classifier(x.flatten(2).mean(2))


@pytest.mark.parametrize(
    ("bias", "affine", "expected"),
    [(False, False, 33_704_010), (True, False, 33_714_314), (False, True, 33_724_618), (True, True, 33_734_922)],
)
@pytest.mark.parametrize("statistics", ["own", "shared"])
def test_published_sizes(bias, affine, expected, statistics):
    with torch.device("meta"):
        network = FractalNet(bias=bias, affine=affine, statistics=statistics)
    assert sum(parameter.numel() for parameter in network.parameters()) == expected
    assert [len(block.joins) for block in network.blocks] == [2] * 5
    assert [len(columns) for columns in network.blocks[0].rows] == [1, 2, 1, 3]
    assert len(network.column("deepest")) == 5 * (4 * 3 + 1) + 4 * 4 + 3  # four blocks have dropout


def test_inputs_of_joins_live_as_often_as_the_rule_says():
    network = small(4, drop={"policy": "local", "mode": "row"})
    assert {path.column for path in network.paths} == {0, 1, 2, 3}
    rows = 40_000
    live = (network.path_drop.draw(network.path_drop.rates, rows, 0, 0, 0).factors > 0).double().mean(1)
    sizes = [len(columns) for block in network.blocks for columns in block.join_inputs for _ in columns]
    assert sorted(set(sizes)) == [2, 3, 4]
    for share, size in zip(live.tolist(), sizes, strict=True):
        assert abs(share - P_LIVE[size]) < 5 * (P_LIVE[size] * (1 - P_LIVE[size]) / rows) ** 0.5


def test_paths_name_their_units():
    network = small(4)
    for path in network.paths:
        block, column, slot = network.get_submodule(path.name), path.column, int(path.name.rpartition(".")[2])
        assert block is network.blocks[path.cell].columns[column][slot]
    assert len(network.paths) == 2 * (2 + 3 + 2 + 4)


def test_a_global_draw_runs_one_column_the_same_in_all_blocks():
    network = small(drop={"policy": "global"}).train()
    seen = batches_seen(network)
    x = torch.randn(4, 3, 8, 8)
    columns = set()
    for step in range(12):
        seen.clear()
        draw = network.path_drop.draw(network.path_drop.rates, 4, 0, 0, step)
        network(x, paths=draw)
        column = int(draw.choices)
        columns.add(column)
        assert seen == [(block, column, slot, 4) for block in range(2) for slot in range(2**column)]
    assert columns == {0, 1, 2}


def test_a_global_step_costs_what_the_plain_column_costs():
    network = small().train()
    x = torch.randn(4, 3, 8, 8)
    costs = []
    for run in (lambda: network(x, paths=Draw(None, torch.tensor([2]))), lambda: network.column(2)(x)):
        with FlopCounterMode(display=False) as counter:
            run().sum().backward()
        costs.append(counter.get_total_flops())
    assert costs[0] == costs[1]


def test_a_local_draw_of_the_batch_is_masking_without_the_work():
    network = freeze_norms(spread_norms(small(4, drop={"policy": "local"}, p=0.4)))
    seen = batches_seen(network)
    x = torch.randn(3, 3, 8, 8)
    counts = set()
    for step in range(8):
        draw = network.path_drop.draw(network.path_drop.rates, 3, 0, 0, step)
        seen.clear()
        y = network(x, paths=draw)
        counts.add(len(seen))
        torch.testing.assert_close(y, masked(network, x, draw.factors[:, 0]))
    assert min(counts) < 2 * 15


@pytest.mark.parametrize("statistics", ["own", "shared"])
def test_each_sample_runs_what_was_drawn_for_it(statistics):
    network = freeze_norms(spread_norms(small(drop={"mode": "row"}, statistics=statistics)))
    x = torch.randn(24, 3, 8, 8)
    draw = network.path_drop.draw(network.path_drop.rates, 24, 0, 0, 0)
    seen = batches_seen(network)
    y = network(x, paths=draw)
    kinds = draw.choices.tolist()
    assert set(kinds) == {-1, 0, 1, 2}
    for b, c, s in {entry[:3] for entry in seen}:  # no unit sees a sample that does not use it
        assert [n for *at, n in seen if at == [b, c, s]] == [kinds.count(-1), kinds.count(c)]
    for row, kind in enumerate(kinds):
        one = x[row : row + 1]
        expected = masked(network, one, draw.factors[:, row]) if kind < 0 else network(one, column=kind)
        torch.testing.assert_close(y[row : row + 1], expected)


def test_training_draws_for_itself_and_evaluation_does_not():
    network = small()
    x = torch.randn(4, 3, 8, 8)
    torch.manual_seed(0)
    assert not all(torch.equal(network(x), network(x)) for _ in range(5))
    network.eval()
    state = torch.get_rng_state()
    assert torch.equal(network(x), network(x))
    assert torch.equal(torch.get_rng_state(), state)


def test_nothing_drops_without_factors():
    network = freeze_norms(spread_norms(small()))
    x = torch.randn(4, 3, 8, 8)
    expected = network.eval()(x)
    torch.testing.assert_close(freeze_norms(network)(x, paths=Draw(None)), expected)


@pytest.mark.parametrize("statistics", ["own", "shared"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("affine", [False, True])
def test_a_column_is_the_network_restricted_to_it(statistics, order, affine):
    network = small(order=order, statistics=statistics, affine=affine, dropout=[0.1, 0.2])
    spread_norms(network).eval()
    x = torch.randn(4, 3, 8, 8)
    for column in range(3):
        plain = network.column(column)
        assert not plain.training
        torch.testing.assert_close(plain(x), network(x, column=column), rtol=0, atol=0)
        torch.testing.assert_close(network.only(column)(x), network(x, column=column), rtol=0, atol=0)
    assert torch.equal(network(x, column="deepest"), network(x, column=2))
    assert torch.equal(network(x, column="shallowest"), network(x, column=0))
    network.blocks[0].columns[0][0].convolution.weight.data.zero_()
    assert plain is not network.only(2)
    torch.testing.assert_close(plain(x), network(x, column=2), rtol=0, atol=0)


def test_the_whole_is_the_mean_of_its_columns_where_only_the_classifier_follows():
    """Two columns and one block: what is averaged is the features, and the classifier is linear."""
    network = spread_norms(small(2, 1, (6,), statistics="shared")).eval()
    x = torch.randn(4, 3, 8, 8)
    torch.testing.assert_close(network(x), (network(x, column=0) + network(x, column=1)) / 2)
    deeper = spread_norms(small(3, 1, (6,), statistics="shared")).eval()
    mean = sum(deeper(x, column=c) for c in range(3)) / 3
    assert (deeper(x) - mean).abs().max() > 1e-4  # an inner join sits between


def test_one_column_is_a_plain_network():
    network = small(1).train()
    assert not network.paths
    x = torch.randn(4, 3, 8, 8)
    network(x).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    network.eval()
    torch.testing.assert_close(network(x), network.column(0)(x))


def test_column_networks_train_all_columns_at_every_step():
    network = small(column_networks=True).train()
    seen = batches_seen(network)
    whole, columns = network(torch.randn(4, 3, 8, 8), paths=Draw(None))
    assert whole.shape == (4, 10)
    assert [logits.shape for logits in columns] == [(4, 10)] * 3
    assert len(seen) == 2 * 7 * 2  # each unit in the local network and in its column's
    fresh = small(column_networks=True).state_dict()
    moved = [name for name, value in network.state_dict().items() if "num_batches" in name and value != fresh[name]]
    assert sum("norm_alone" in name for name in moved) == len(moved) / 2 == 14


def test_own_statistics_are_kept_only_where_both_passes_train():
    own = {"policy": "fractal"}
    cases = [(own, True), ({**own, "global_share": 0.0}, False), ({**own, "global_share": 1.0}, False)]
    cases += [({"policy": "local"}, False), ({"policy": "global"}, False)]
    for drop, expected in cases:
        assert any("norm_alone" in name for name in small(drop=drop).state_dict()) is expected


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("mode", ["row", "batch"])
@pytest.mark.parametrize("columns", [1, 3])
def test_any_number_of_sides(ndim, mode, columns):
    network = small(columns, ndim=ndim, drop={"mode": mode}).train()
    x = torch.randn(6, 3, *(8, 9, 11)[:ndim])
    for step in range(4):
        draw = network.path_drop.draw(network.path_drop.rates, 6, 0, 0, step)
        assert network(x, paths=draw).shape == (6, 10)
    network.eval()
    torch.testing.assert_close(network.column(0)(x), network(x, column=0))


def test_half_precision_trains():
    network = small(drop={"mode": "row"}).train()
    with torch.autocast("cpu", torch.bfloat16):
        y = network(torch.randn(8, 3, 8, 8))
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()


BAD = [
    ({"columns": 0}, ConfigError, "columns: must be a whole number of at least 1, got 0"),
    ({"columns": True}, ConfigError, "columns: must be a whole number of at least 1, got True"),
    ({"columns": 64}, ConfigError, "columns: must be at most 10, got 64"),
    ({"blocks": 0}, ConfigError, "blocks: must be a whole number of at least 1, got 0"),
    ({"widths": (4,)}, ConfigError, "widths: must be one for each of 2 blocks, got 1: [4]"),
    ({"widths": (4, 0)}, ConfigError, "widths[1]: must be a whole number of at least 1, got 0"),
    ({"dropout": [0.1]}, ConfigError, "dropout: must be one for each of 2 blocks, got 1: [0.1]"),
    ({"dropout": [0.1, 1.5]}, DropError, "dropout[1]: dropout probability has to be between 0 and 1, but got 1.5"),
    ({"p": -0.1}, DropError, "FractalNet p: dropout probability has to be between 0 and 1, but got -0.1"),
    (
        {"drop": {"global_share": 2.0}},
        DropError,
        "PathDrop global_share: dropout probability has to be between 0 and 1, but got 2.0",
    ),
    (
        {"drop": {"policy": "edge"}},
        DropError,
        "drop.policy: must be local or global or fractal in a fractal network, got 'edge'",
    ),
    (
        {"drop": {"policy": "global"}, "column_networks": True},
        DropError,
        "drop.policy: must be local with column networks, got 'global'",
    ),
    (
        {"drop": {"global_share": 0.5}, "column_networks": True},
        DropError,
        "drop.global_share: must be 0 with column networks, which run every column, got 0.5",
    ),
    ({"order": "conv-relu"}, ConfigError, "order: must be a known name, got 'conv-relu'; known: "),
    ({"join": "pool"}, ConfigError, "join: must be a known name, got 'pool'; "),
    ({"statistics": "mine"}, ConfigError, "statistics: must be a known name, got 'mine'; known: own, shared"),
    ({"ndim": 4}, ConfigError, "ndim: must be 1, 2 or 3, got 4"),
    ({"operations": "conv_3x4"}, ConfigError, "operations: a fractal block has no operation 'conv_3x4'; did you mean"),
    ({"operations": [["conv_3x3"]]}, ConfigError, "operations: must have [1, 2, 4] names, one list a column, got [1]"),
]


@pytest.mark.parametrize(("options", "kind", "line"), BAD, ids=[str(case[0]) for case in BAD])
def test_bad_options_are_one_line(options, kind, line):
    with pytest.raises(kind) as caught:
        small(**options)
    assert len(caught.value.lines) == 1
    assert caught.value.lines[0].startswith(line)


def test_bad_input_is_one_line():
    network = small()
    for column in (3, -1, "2", "deep", 1.0):
        with pytest.raises(ConfigError, match=r"column: must be one of 0, 1, 2, shallowest, deepest, got"):
            network(torch.zeros(1, 3, 8, 8), column=column)
    with pytest.raises(DataError, match=r"each side must be at least 4, as each of 2 blocks halves it, got shape"):
        network(torch.zeros(1, 3, 8, 3))
    with pytest.raises(DataError, match="must have in_channels = 3 channels, got 4"):
        network(torch.zeros(1, 4, 8, 8))
    with pytest.raises(DataError, match="must have 4 axes"):
        network(torch.zeros(3, 8, 8))
    draw = network.path_drop.draw(network.path_drop.rates, 4, 0, 0, 0)
    with pytest.raises(DropError, match=r"must have the shape \(paths, samples\) = \(10, 2\), got \(10, 4\)"):
        network(torch.zeros(2, 3, 8, 8), paths=draw)
    with pytest.raises(DropError, match="choices must be one for the batch or one for each of 2 samples"):
        network(torch.zeros(2, 3, 8, 8), paths=Draw(None, torch.zeros(3, dtype=torch.long)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("mode", ["row", "batch"])
def test_a_device_computes_what_the_cpu_computes(mode):
    network = freeze_norms(spread_norms(small(4, drop={"mode": mode}))).double()
    x = torch.randn(8, 3, 8, 8, dtype=torch.float64)
    draws = [network.path_drop.draw(network.path_drop.rates, 8, 0, 0, step) for step in range(4)]
    here = [network(x, paths=draw) for draw in draws]
    network.cuda()
    for step, expected in enumerate(here):
        draw = network.path_drop.draw(network.path_drop.rates, 8, 0, 0, step)
        torch.testing.assert_close(network(x.cuda(), paths=draw).cpu(), expected)
