"""Path drop in the mixing weights: which paths there are, and what a policy multiplies."""

import pytest
import torch
from torch import nn

from nasdrop.drop import Draw, Dropout
from nasdrop.models.supernet import masked_softmax


def test_factors_are_those_of_paths_by_name(make, images):
    """Each sample of a batch equals the sample in a supernet whose dropped edges have no weight."""
    supernet = freeze(make("darts").double())
    supernet.path_drop.set_rates(0.4)
    draw = supernet.path_drop.draw(supernet.path_drop.rates, 3, seed=1, epoch=0, step=0)
    x = images()
    together = supernet(x, paths=draw)
    base = {kind: weights.detach() for kind, weights in supernet.mixture().items()}
    for row in range(3):
        tables = {kind: torch.stack([weights] * supernet.mixer.kinds.count(kind)) for kind, weights in base.items()}
        seen = {kind: [i for i, name in enumerate(supernet.mixer.kinds) if name == kind] for kind in base}
        for path, factor in zip(supernet.paths, draw.factors[:, row], strict=True):
            kind, edge = supernet.mixer.kinds[path.cell], int(path.name.rsplit(".", 1)[1])
            assert supernet.get_submodule(path.name) is supernet.cells[path.cell].edges[edge]
            tables[kind][seen[kind].index(path.cell), edge] *= factor
        alone = supernet(x[row : row + 1], tables, Draw(None))
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-9, atol=1e-9)


def freeze(supernet):
    """Training, but for batch norm, which would mix the samples."""
    supernet.train()
    for module in supernet.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    return supernet


def test_evaluation_drops_nothing(make, images):
    supernet = make("darts").double()
    supernet.path_drop.set_rates(1.0)
    x = images()
    supernet.eval()
    torch.testing.assert_close(supernet(x), supernet(x, paths=Draw(None)), rtol=0, atol=0)
    supernet.train()
    torch.testing.assert_close(supernet(x), supernet.classifier.bias.expand(3, -1), rtol=0, atol=0)


@pytest.mark.parametrize("policy", ["edge", "node", "cell", "fan-in", "skip"])
def test_policies(policy, make, images):
    supernet = make("darts", drop={"policy": policy}).double()
    supernet.path_drop.set_rates(0.5)
    assert len({path.name for path in supernet.paths}) == len(supernet.paths)
    x = images()
    draw = supernet.path_drop.draw(supernet.path_drop.rates, 3, seed=0, epoch=0, step=0)
    ones = Draw(torch.ones_like(draw.factors))
    torch.testing.assert_close(supernet(x, paths=ones), supernet(x, paths=Draw(None)), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(supernet(x, paths=draw), supernet(x, paths=Draw(None)))


def test_the_policy_skip_drops_identities_alone(make, images):
    supernet = freeze(make("darts", drop={"policy": "skip"}).double())
    for path in supernet.paths:
        assert isinstance(supernet.get_submodule(path.name), nn.Identity)
    expected = sum(module.__class__ is nn.Identity for cell in supernet.cells for module in cell.edges.modules())
    assert len(supernet.paths) == expected
    column = supernet.operations["normal"].index("skip_connect")
    silent = {kind: weights.detach().clone() for kind, weights in supernet.mixture().items()}
    silent["normal"][:, column] = 0
    for edge, (source, _, _) in enumerate(supernet.space.cells["reduction"].graph.edges):
        if source > 1:
            silent["reduction"][edge, column] = 0
    x = images()
    dropped = supernet(x, paths=Draw(torch.zeros(len(supernet.paths), 3)))
    torch.testing.assert_close(dropped, supernet(x, silent, Draw(None)), rtol=1e-12, atol=1e-12)


def test_groups_renormalise_the_softmax_over_the_kept_operations(make, images):
    supernet = make("darts", drop={"policy": "groups", "mode": "batch"}).double()
    for alpha in supernet.alpha_parameters():
        nn.init.normal_(alpha)
    supernet.path_drop.set_rates(0.3)
    draw = supernet.path_drop.draw(supernet.path_drop.rates, 3, seed=0, epoch=0, step=0)
    assert len(supernet.paths) == 2 * 14 * 8 and draw.factors is None
    kept = dict(zip(("normal", "reduction"), draw.choices.view(2, 14, 8), strict=True))
    assert [path.operation for path in supernet.paths[:8]] == list(supernet.operations["normal"])
    expected = {kind: masked_softmax(supernet.alphas[kind], mask) for kind, mask in kept.items()}
    x = images()
    torch.testing.assert_close(supernet(x, paths=draw), supernet(x, expected, Draw(None)), rtol=1e-10, atol=1e-10)


def test_path_drop_keeps_expectations_in_the_weights(make):
    supernet = make("darts")
    supernet.path_drop.set_rates(0.3)
    draw = supernet.path_drop.draw(supernet.path_drop.rates, 20_000, seed=0, epoch=0, step=0)
    found = supernet.mixer(supernet.mixture(), None, draw.factors).operations.mean(-1)
    plain = supernet.mixer(supernet.mixture(), None, None).operations[..., 0]
    # Standard error of the mean of 0 or 1 / 0.7: sqrt(0.3 / 0.7 / 20000); five of them over 336 paths.
    assert ((found - plain).abs() <= 5 * (3 / 7 / 20_000) ** 0.5 * plain + 1e-7).all()


def test_skip_dropout_is_a_module_that_a_schedule_finds(make, images):
    supernet = make("darts", skip_dropout=True, drop={"policy": "edge"})
    found = [module for module in supernet.modules() if isinstance(module, Dropout)]
    assert len(found) == 3 * 14 - 2 * 8  # the reductions' edges from their inputs are no identities
    x = images(dtype=torch.float32)
    before = supernet(x, paths=Draw(None))
    for module in found:
        module.p = 0.7
    assert not torch.allclose(supernet(x, paths=Draw(None)), before)
