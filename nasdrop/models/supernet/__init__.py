"""The one-shot network: all candidate operations of a space at once, mixed by architecture weights."""

from nasdrop.models.supernet.candidates import Candidates, masked_softmax
from nasdrop.models.supernet.net import SuperNet

__all__ = ["Candidates", "SuperNet", "masked_softmax"]
