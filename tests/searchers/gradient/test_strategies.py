"""What each strategy makes of its alphas, against the papers' equations written out for one edge."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nasdrop import settings as all_settings
from nasdrop.drop import Draw
from nasdrop.models.supernet import SuperNet
from nasdrop.searchers.gradient.mixture import Columns, Moment, chosen_columns, one_hot
from nasdrop.searchers.gradient.strategies import STRATEGIES, make_strategy
from nasdrop.space import SearchSpace

MOMENT = Moment(seed=1, epoch=0, epochs=5, step=0)


@pytest.fixture(scope="module")
def make(make_experiment):
    def build(name, space="robust_s1", **settings):
        torch.manual_seed(0)
        found = SearchSpace.load(space)
        supernet = SuperNet(found, channels=4, num_cells=3, partial_channels=settings.get("partial_channels", 1))
        options = make_experiment(space, strategy=name, **settings).search
        strategy = make_strategy(options, Columns.of(supernet), found)
        alphas = {kind: torch.randn_like(alpha).requires_grad_() for kind, alpha in supernet.alphas.items()}
        return strategy, alphas, supernet

    return build


def test_every_strategy_has_settings_of_its_name_and_a_paper():
    table = {kind.model_fields["strategy"].annotation.__args__[0] for kind in subclasses()}
    assert set(STRATEGIES) == table
    assert all("arXiv:" in strategy.paper for strategy in STRATEGIES.values())


def subclasses():
    return all_settings.GradientSettings.__subclasses__()


@pytest.mark.parametrize(("name", "rate", "momentum"), [
    ("darts", 3e-4, 0.5), ("gdas", 3e-4, 0.5), ("pc_darts", 6e-4, 0.5), ("drnas", 3e-4, 0.5),
    ("p_darts", 6e-4, 0.5), ("drop_nas", 3e-4, 0.5), ("fair_darts", 3e-3, 0.9),
])  # fmt: skip
def test_the_defaults_are_the_papers(name, rate, momentum):
    search = all_settings.Experiment.model_validate(
        {"name": "x", "search": {"kind": "gradient", "strategy": name}}
    ).search
    assert (search.alpha_learning_rate, search.alpha_momentum, search.alpha_weight_decay) == (rate, momentum, 1e-3)


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_a_mixture_stays_within_the_columns_that_an_edge_has(name, make):
    strategy, alphas, supernet = make(name)
    for kind, weights in strategy.mix(alphas, MOMENT).weights.items():
        available = supernet.available[kind].expand(weights.shape)
        assert torch.all(weights[~available] == 0)
        assert torch.isfinite(weights).all()


@pytest.mark.parametrize("name", ["darts", "gdas", "pc_darts", "drnas", "p_darts", "drop_nas"])
def test_the_weights_of_an_edge_add_up_to_one(name, make):
    strategy, alphas, _ = make(name)
    for mixture in (strategy.mix(alphas, MOMENT), strategy.expected(alphas)):
        for weights in mixture.weights.values():
            torch.testing.assert_close(weights.sum(-1), torch.ones(len(weights)))


@pytest.mark.parametrize("name", [name for name, kind in STRATEGIES.items() if kind.has_alphas])
def test_gradients_reach_the_alphas(name, make):
    strategy, alphas, _ = make(name)
    mixture = strategy.mix(alphas, MOMENT)
    loss = sum((weights * torch.arange(weights.shape[-1])).sum() for weights in mixture.weights.values())
    gradients = torch.autograd.grad(loss, list(alphas.values()))
    assert all(float(gradient.abs().sum()) > 0 for gradient in gradients)


def test_gdas_computes_one_candidate_an_edge_with_weight_exactly_one(make):
    strategy, alphas, _ = make("gdas", space="darts")
    counts = torch.zeros(8)
    for seed in range(200):
        torch.manual_seed(seed)
        mixture = strategy.mix(alphas, MOMENT)
        for kind, active in mixture.active.items():
            assert all(len(columns) == 1 for columns in active)
            assert torch.equal(mixture.weights[kind].sum(-1), torch.ones(14))
            assert chosen_columns(mixture.weights[kind].bool()) == active
        counts += mixture.weights["normal"][0].detach()
    share, count = alphas["normal"][0].softmax(-1).detach(), 200
    error = (share * (1 - share) / count).sqrt()  # at every temperature the arg max is drawn by the plain softmax
    assert torch.all((counts / count - share).abs() <= 4.5 * error + 1e-9)


def test_gdas_temperature_falls_linearly_to_its_last_epoch(make):
    strategy, _, _ = make("gdas", first_temperature=10.0, final_temperature=0.1)
    found = [strategy.temperature(Moment(0, epoch, 5, 0)) for epoch in range(5)]
    assert found == pytest.approx([10.0, 7.525, 5.05, 2.575, 0.1])


def test_gdas_straight_through_gradient_is_that_of_the_softened_draw(make):
    strategy, alphas, _ = make("gdas")
    torch.manual_seed(3)
    mixture = strategy.mix(alphas, MOMENT)
    torch.manual_seed(3)
    noise = {kind: -torch.empty(alpha.shape).exponential_().log() for kind, alpha in alphas.items()}
    kind = "normal"
    available = strategy.columns.available[kind]
    logits = alphas[kind].masked_fill(~available, float("-inf")).log_softmax(-1)
    soft = ((logits + noise[kind]) / strategy.temperature(MOMENT)).softmax(-1)
    upstream = torch.randn(soft.shape)
    expected = torch.autograd.grad((soft * upstream).sum(), alphas[kind])[0]
    found = torch.autograd.grad((mixture.weights[kind] * upstream).sum(), alphas[kind])[0]
    torch.testing.assert_close(found, expected)


def test_pc_darts_normalises_over_the_edges_of_a_node(make):
    strategy, alphas, _ = make("pc_darts", partial_channels=2)
    edges = strategy.expected(alphas).edges["normal"]
    for first, last in ((0, 2), (2, 5), (5, 9), (9, 14)):  # edges that enter nodes 2, 3, 4, 5
        assert float(edges[first:last].sum().detach()) == pytest.approx(1.0, abs=1e-6)
    expected = strategy.expected(alphas).weights["normal"] * edges[:, None]
    torch.testing.assert_close(strategy.strengths(alphas)["normal"], expected)
    assert set(strategy.extra) == {"normal", "reduction"}


def test_drnas_draws_have_the_mean_of_their_dirichlet(make):
    strategy, alphas, _ = make("drnas", space="robust_s3")
    torch.manual_seed(0)
    draws = torch.stack([strategy.mix(alphas, MOMENT).weights["normal"].detach() for _ in range(400)])
    mean = strategy.expected(alphas).weights["normal"].detach()
    concentration = (torch.nn.functional.elu(alphas["normal"]) + 1 + 1e-4).sum(-1, keepdim=True).detach()
    error = (mean * (1 - mean) / (concentration + 1) / 400).sqrt()  # the variance of a Dirichlet's component
    assert torch.all((draws.mean(0) - mean).abs() <= 5 * error)


def test_fair_darts_pushes_sigmoids_apart(make):
    strategy, alphas, _ = make("fair_darts")
    flags = strategy.columns.available["normal"], strategy.columns.available["reduction"]
    values = torch.cat([alphas[kind][flag] for kind, flag in zip(("normal", "reduction"), flags, strict=True)])
    expected = -10.0 * (values.sigmoid() - 0.5).square().mean()
    torch.testing.assert_close(strategy.penalty(alphas), expected)
    torch.testing.assert_close(strategy.strengths(alphas)["normal"][flags[0]], alphas["normal"][flags[0]].sigmoid())


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.floats(-3, 3))
def test_drop_nas_keeps_the_share_of_the_kept(make, seed, change):
    """After a step on the kept candidates alone, their probability altogether is what it was before."""
    strategy, alphas, _ = make("drop_nas", space="tiny")
    generator = torch.Generator().manual_seed(seed)
    before = {kind: alpha.detach().clone() for kind, alpha in alphas.items()}
    kept = {kind: torch.rand(alpha.shape, generator=generator) < 0.7 for kind, alpha in alphas.items()}
    for flags in kept.values():
        flags[:, 0] = True
    after = {
        kind: before[kind] + change * torch.rand(flags.shape, generator=generator) * flags
        for kind, flags in kept.items()
    }
    strategy.after_step(after, before, kept)
    for kind, flags in kept.items():
        share = (before[kind].softmax(-1) * flags).sum(-1)
        torch.testing.assert_close((after[kind].softmax(-1) * flags).sum(-1), share, rtol=1e-4, atol=1e-5)
        assert torch.equal(after[kind][~flags], before[kind][~flags])


def test_drop_nas_asks_the_supernet_which_candidates_took_part(make_loop):
    loop = make_loop(strategy="drop_nas", space="darts", p=0.5, drop={"policy": "groups", "mode": "batch"})
    learner, path_drop = loop.part.learner, loop.part.supernet.path_drop
    path_drop.set_rates(0.5)
    draw = path_drop.draw(path_drop.rates, 4, 0, 0, 0)
    kept = learner.kept(draw)
    assert int(sum(flags.sum() for flags in kept.values())) == int(draw.choices.sum()) < 2 * 14 * 8
    assert learner.kept(Draw(None))["normal"].all()


def test_p_darts_takes_away_the_weakest_skips(make):
    strategy, alphas, supernet = make("p_darts", space="darts", most_skips=2)
    skip = supernet.operations["normal"].index("skip_connect")
    with torch.no_grad():
        for alpha in alphas.values():
            alpha[:, skip] += 5
    assert (
        sum(
            edge.operation == "skip_connect" for edge in supernet.discretize(strategy.strengths(alphas))["normal"].edges
        )
        == 8
    )
    genotype = strategy.read_cell(alphas, supernet.discretize)
    assert sum(edge.operation == "skip_connect" for edge in genotype["normal"].edges) == 2
    assert sum(edge.operation == "skip_connect" for edge in genotype["reduction"].edges) == 8  # the normal cell alone


def test_one_shot_draws_a_whole_cell(make):
    strategy, alphas, _ = make("one_shot", space="darts")
    mixture = strategy.mix(alphas, MOMENT)
    assert sum(len(columns) for columns in mixture.active["normal"]) == 8
    assert mixture.weights["normal"].sum() == 8
    again = strategy.mix(alphas, MOMENT)
    assert again.active == mixture.active != strategy.mix(alphas, Moment(1, 0, 5, 1)).active


@pytest.mark.parametrize("space", ["darts", "nas_bench_201", "nasnet", "robust_s2"])
def test_a_one_hot_mixture_is_read_off_as_the_cell_that_it_is(space):
    found = SearchSpace.load(space)
    supernet = SuperNet(found, channels=4, num_cells=3)
    genotype = found.sample(Moment(5, 0, 1, 0).dice)
    mixture = one_hot(genotype, found, Columns.of(supernet))
    allowed = {edge.operation for cell in genotype.cells for edge in cell.edges}
    if "none" not in allowed:
        assert supernet.discretize(mixture.weights) == genotype
    for kind, weights in mixture.weights.items():
        assert int(weights.sum()) == len(genotype[kind].edges)
        assert math.isclose(float(weights.max()), 1.0)
