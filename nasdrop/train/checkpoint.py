"""Checkpoints and weights on disk: written whole or not at all, read without running anything that they contain."""

import io
import pickle
import pickletools
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as pack_tensors
from torch import Tensor, nn

from nasdrop.errors import RunError, RunFolderError
from nasdrop.files import replacing

# What torch's reader raises on damaged bytes.
_DAMAGE = (
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    OverflowError,
    MemoryError,
)
# What torch.save calls by name to write tensors of plain kinds, and dicts in order.
_CALLED = re.compile(r"torch._utils _rebuild_(tensor_v2|parameter)|torch \w+Storage|collections OrderedDict")


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint: tensors, numbers, texts, lists and dicts of them.

    Raises:
        RunError: the disk is full or the folder cannot be written; an older checkpoint is left as it was.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    _write(path, buffer.getvalue())


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint.

    Every checksum is compared first, because torch's reader compares none: a flipped bit would become a weight.

    Raises:
        RunFolderError: the file is missing, damaged, or holds something other than plain values.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            wrong = [info.filename for info in members if info.compress_type != zipfile.ZIP_STORED]
            if not wrong and sum(info.file_size for info in members) > path.stat().st_size:  # they overlap
                wrong = [members[0].filename]
            if not wrong and (broken := archive.testzip()):
                wrong = [broken]
            for info in members if not wrong else ():
                if info.filename.endswith("data.pkl"):
                    _refuse_calls(path, archive.read(info))
        if wrong:
            raise RunFolderError(f"{path}: damaged: {wrong[0]} is not what was written")
        state = torch.load(path, map_location=device, weights_only=True)
    except RunFolderError:
        raise
    except FileNotFoundError:
        raise RunFolderError(f"{path}: no such checkpoint") from None
    except (*_DAMAGE, NotImplementedError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise RunFolderError(f"{path}: damaged or no checkpoint ({_one_line(error)})") from error
    if not isinstance(state, dict):
        raise RunFolderError(f"{path}: no checkpoint: must hold a dict, got {type(state).__name__}")
    return state


def _refuse_calls(path: Path, program: bytes) -> None:
    """Refuse a pickle that calls what our checkpoints never call, such as a bytearray of a terabyte."""
    for operation, argument, _ in pickletools.genops(program):
        named = operation.name in ("GLOBAL", "INST", "STACK_GLOBAL")
        if named and (operation.name != "GLOBAL" or not _CALLED.fullmatch(str(argument))):
            raise RunFolderError(f"{path}: damaged or no checkpoint (it calls {argument or 'what it computes'})")


def load_own(path: Path, identity: Mapping[str, Any], what: str, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint that was written with this `identity`.

    Args:
        path: the file.
        identity: what must be equal for `what`, a training or a search, to go on.
        what: names it in errors.
        device: where tensors go.

    Raises:
        RunFolderError: the file is missing or damaged, or belongs to another one: every difference, one line each.
    """
    state = load(path, device)
    there = state.get("identity")
    if not isinstance(there, dict):
        raise RunFolderError(f"{path}: no checkpoint of a {what}: its identity is missing")
    lines = [
        f"{path}: belongs to another {what}: {key} is {there.get(key)!r} there, {value!r} here"
        for key, value in identity.items()
        if there.get(key) != value
    ]
    if lines:
        raise RunFolderError(*lines)
    return state


def save_weights(path: Path, network: nn.Module, metadata: Mapping[str, str]) -> None:
    """Write a network's parameters and buffers as safetensors.

    Args:
        path: the file, by custom with the ending `.safetensors`.
        network: on any device, of any memory format.
        metadata: texts to keep beside the weights, such as the genotype.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    # Clones, because the format refuses tensors that share memory, and contiguous ones, because it knows no strides.
    tensors = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in network.state_dict().items()
    }
    _write(path, pack_tensors(tensors, metadata=dict(metadata)))


def load_weights(path: Path, device: torch.device | str = "cpu") -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name, and the metadata, of a safetensors file.

    Raises:
        RunFolderError: the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except FileNotFoundError:
        raise RunFolderError(f"{path}: no such file of weights") from None
    except (SafetensorError, *_DAMAGE) as error:
        raise RunFolderError(f"{path}: damaged or no safetensors file ({_one_line(error)})") from error


def _write(path: Path, content: bytes) -> None:
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
