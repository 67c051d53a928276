"""The same logits from the network, its plain source, onnxruntime and `.pt2`, for random cells of every space."""

import importlib.util
import random
import sys

import onnxruntime
import pytest
import torch

from nasdrop import resources
from nasdrop.errors import RunError
from nasdrop.exporters import random_operations, save_onnx, save_program, save_source
from nasdrop.models.fractal import FractalNet
from nasdrop.models.fractal_genotype import fractal_network
from nasdrop.models.network import Network
from nasdrop.space import load_space

TOLERANCE = 1e-5
SPACES = resources.names("search_spaces")


def scrambled(network):
    """The network with batch-norm statistics that are not the initial ones."""
    for name, buffer in network.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5)
    return network.eval()


def sampled(name, dice, ndim=2):
    """A network of a random cell of a space, or the deepest column of a random fractal; it draws nothing."""
    space = load_space(name)
    if space.skeleton == "fractal":
        whole = fractal_network(space.sample(dice), 4, 2, 5, 2, ndim=ndim)
        assert isinstance(whole, FractalNet)
        return scrambled(whole).column("deepest")
    genotypes = iter(lambda: space.sample(dice), None)
    genotype = next(genotype for genotype in genotypes if "noise" not in genotype.to_text("json"))
    return scrambled(Network(space, genotype, 4, 3, 5, in_channels=2, ndim=ndim, auxiliary=name == "darts"))


def differences(network, shape, folder):
    """Largest difference of a logit of each form, as a share of the largest logit or of 1."""
    save_program(network, shape, folder / "network.pt2")
    save_onnx(network, shape, folder / "network.onnx", {})
    save_source(network, folder / "network.py")
    spec = importlib.util.spec_from_file_location("network", folder / "network.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    session = onnxruntime.InferenceSession(folder / "network.onnx", providers=["CPUExecutionProvider"])
    forms = {
        "source": module.load(folder / "network.pt"),
        "onnx": lambda x: torch.from_numpy(session.run(None, {"images": x.numpy()})[0]),
        "pt2": torch.export.load(folder / "network.pt2").module(),
    }
    found = dict.fromkeys(forms, 0.0)
    with torch.no_grad():
        for batch in (1, 5):
            x = torch.randn(batch, *shape)
            expected = network(x)
            for name, form in forms.items():
                difference = (form(x) - expected).abs().max() / max(1.0, expected.abs().max())
                found[name] = max(found[name], float(difference))
    return found


def check(name, ndim, count, folder):
    dice, worst = random.Random(f"{name} {ndim}"), {}
    torch.manual_seed(ndim)
    for _ in range(count):
        found = differences(sampled(name, dice, ndim), (2, *(9, 8, 7)[:ndim]), folder)
        worst = {form: max(value, worst.get(form, 0.0)) for form, value in found.items()}
        assert all(value <= TOLERANCE for value in found.values()), found
    return worst


def tell(name, ndim, worst):
    """The largest differences, for `pytest -s`."""
    sys.stdout.write(f"{name}, {ndim}-D: {', '.join(f'{form} {value:.1e}' for form, value in worst.items())}\n")


@pytest.mark.parametrize("name", ["tiny", "fractalnet"])
def test_one_cell(name, tmp_path):
    check(name, 2, 1, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", SPACES)
def test_twenty_cells_of_each_space(name, tmp_path):
    tell(name, 2, check(name, 2, 20, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("ndim", [1, 3])
@pytest.mark.parametrize("name", ["darts", "nas_bench_201", "nasnet", "fractal"])
def test_signals_and_volumes(name, ndim, tmp_path):
    tell(name, ndim, check(name, ndim, 5, tmp_path))


def test_a_cell_that_draws_noise_is_refused(tmp_path):
    space, dice = load_space("robust_s4"), random.Random(0)
    genotype = next(g for g in iter(lambda: space.sample(dice), None) if "noise" in g.to_text("json"))
    network = Network(space, genotype, 4, 3, 5, in_channels=2).eval()
    for save in (lambda: save_program(network, (2, 8, 8), tmp_path / "x.pt2"),
                 lambda: save_onnx(network, (2, 8, 8), tmp_path / "x.onnx", {})):  # fmt: skip
        with pytest.raises(RunError, match="draws random numbers"):
            save()
    assert random_operations(torch.export.export(network, (torch.zeros(2, 2, 8, 8),)))
