"""torch.compile and half precision in a search: one graph a pass over the whole schedule, and the same numbers."""

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from nasdrop.errors import ConfigError


@pytest.fixture(autouse=True)
def _no_compiled_code_is_left():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # the compiler looks at it
def test_a_compiled_search_is_the_plain_one_with_a_graph_a_pass(make_loop):
    """Rates of drop path, the learning rate and the mixture change in every step; no pass is compiled again."""
    options = {"p": 0.4, "drop": {"schedule": "linear"}, "epochs": 3, "space": "nas_bench_201"}
    plain = make_loop("plain", layout="reference", **options)
    plain.run()
    loop = make_loop("compiled", compile="aot_eager", **options)
    counter = CompileCounterWithBackend("aot_eager")
    learner = loop.part.learner
    learner.network = torch.compile(learner.supernet, backend=counter, fullgraph=True, dynamic=False)
    loop.run()
    assert counter.frame_count == 2  # one with the alphas' gradient, one with the weights'
    for one, other in zip(plain.history, loop.history, strict=True):
        assert other.weights_loss == pytest.approx(one.weights_loss, rel=1e-4)
        assert other.alphas_loss == pytest.approx(one.alphas_loss, rel=1e-4)
        assert other.genotype == one.genotype


def test_the_switch_compiles_what_the_search_calls(make_loop):
    learner = make_loop(compile="aot_eager").part.learner
    assert learner.network is not learner.supernet and isinstance(learner.network, torch._dynamo.OptimizedModule)
    assert make_loop("plain").part.learner.network is not None
    assert not any(key.startswith("_orig_mod") for key in learner.state()["supernet"])


@pytest.mark.parametrize(("settings", "line"), [
    ({"strategy": "gdas"}, r"search.compile: gdas computes another graph in each step; must be none, got 'aot_eager'"),
    ({"order": 2}, r"search.compile: a compiled pass cannot be differentiated twice"),
    ({"hessian_epochs": 1}, r"search.compile: a compiled pass cannot be differentiated twice"),
])  # fmt: skip
def test_what_cannot_be_compiled_is_refused(settings, line, make_loop):
    with pytest.raises(ConfigError, match=line):
        make_loop(compile="aot_eager", **settings)


@pytest.mark.parametrize("layout", ["packed", "grouped"])
def test_half_precision_trains_alike(layout, make_loop):
    """bfloat16 has 8 bits: losses of a few steps agree to within a few of its roundings."""
    plain = make_loop("plain", layout=layout)
    plain.run()
    half = make_loop("half", layout=layout, autocast="bfloat16")
    half.run()
    for one, other in zip(plain.history, half.history, strict=True):
        assert other.weights_loss == pytest.approx(one.weights_loss, rel=2**-5)
        assert other.weights_loss != one.weights_loss
    assert all(weight.dtype == torch.float32 for weight in half.part.learner.weights)
