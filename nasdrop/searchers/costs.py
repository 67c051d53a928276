"""What the network of a cell costs: known before the cell is trained."""

from nasdrop.models.cost import count, count_parameters, latency
from nasdrop.searchers.training import Training
from nasdrop.space import Genotype


class NetworkCosts:
    """Costs of the network that a cell is put into: counted, or measured on its device.

    Args:
        training: builds the network.
        batch: images at once where latency is measured.
    """

    names = ("parameters", "multiply_adds", "latency")

    def __init__(self, training: Training, batch: int = 1) -> None:
        self.training, self.batch = training, batch

    def __call__(self, genotype: Genotype, name: str) -> float:
        """Parameters (auxiliary head apart), multiply-adds of one image, or median seconds of a batch, warm."""
        network, shape = self.training.network(genotype), self.training.data.shape
        if name == "latency":
            return latency(network, shape, self.batch)
        return count_parameters(network) if name == "parameters" else count(network, shape).multiply_adds
