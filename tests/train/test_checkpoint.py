import pickle
import zipfile

import pytest
import torch
from torch import nn

from nasdrop.errors import RunError, RunFolderError
from nasdrop.train.checkpoint import load, load_weights, save, save_weights

STATE = {"weights": {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(3)}, "epoch": 4, "names": ["x", None, 1.5]}


def refused(call, *arguments, error=RunFolderError):
    with pytest.raises(error) as caught:
        call(*arguments)
    (line,) = caught.value.lines
    assert str(arguments[0]) in line
    assert "\n" not in line
    return line


@pytest.fixture
def path(tmp_path):
    save(tmp_path / "deep" / "state.pt", STATE)
    return tmp_path / "deep" / "state.pt"


def test_a_checkpoint_comes_back_as_it_was(path):
    state = load(path)
    assert torch.equal(state["weights"]["a"], STATE["weights"]["a"])
    assert (state["epoch"], state["names"]) == (4, ["x", None, 1.5])
    assert [entry.name for entry in path.parent.iterdir()] == ["state.pt"]


def test_strides_survive(tmp_path):
    tensor = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    save(tmp_path / "a.pt", {"x": tensor})
    assert load(tmp_path / "a.pt")["x"].stride() == tensor.stride()


def test_a_checkpoint_cut_anywhere_is_refused(path):
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        assert "damaged or no checkpoint" in refused(load, path)


def test_a_flipped_byte_never_becomes_a_weight(path):
    content = path.read_bytes()
    seen = 0
    for position in range(0, len(content), 3):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x40]) + content[position + 1 :])
        try:
            state = load(path)
        except RunFolderError as error:
            assert len(error.lines) == 1
            seen += 1
            continue
        assert torch.equal(state["weights"]["a"], STATE["weights"]["a"])  # a byte that nobody reads
        assert state["epoch"] == 4
    assert seen > 100


class Evil:
    def __reduce__(self):
        return (print, ("should never be printed",))


def test_nothing_in_a_checkpoint_is_run(tmp_path, capsys):
    torch.save({"x": Evil()}, tmp_path / "evil.pt")
    refused(load, tmp_path / "evil.pt")
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Evil()))
    refused(load, tmp_path / "evil.pkl")
    assert capsys.readouterr().out == ""


def test_other_contents_are_refused(tmp_path, path):
    assert "no such checkpoint" in refused(load, tmp_path / "none.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    assert "must hold a dict, got list" in refused(load, tmp_path / "list.pt")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "small.pt", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert "is not what was written" in refused(load, tmp_path / "small.pt")  # compressed: no bombs


def test_a_write_that_fails_keeps_the_old_checkpoint(path, monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", full)
    assert "No space left on device" in refused(save, path, {"epoch": 5}, error=RunError)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["state.pt"]


class Shared(nn.Module):
    """A buffer that is a view, a weight used twice, a whole number, a foreign memory format."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3).to(memory_format=torch.channels_last)
        self.norm = nn.BatchNorm2d(2)
        self.first = nn.Linear(2, 2)
        self.second = nn.Linear(2, 2)
        self.second.weight = self.first.weight
        self.register_buffer("view", torch.arange(10.0)[::2])


def test_weights_and_metadata_come_back(tmp_path):
    network = Shared()
    path = tmp_path / "w.safetensors"
    save_weights(path, network, {"genotype": "{}", "name": "ä"})
    tensors, metadata = load_weights(path)
    assert metadata == {"genotype": "{}", "name": "ä"}
    assert tensors.keys() == network.state_dict().keys()
    other = Shared()
    other.load_state_dict(tensors)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
        assert tensor.dtype == tensors[name].dtype


def test_weights_that_are_damaged_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, Shared(), {})
    content = path.read_bytes()
    assert load_weights(path)[1] == {}
    for length in range(0, len(content), 11):
        path.write_bytes(content[:length])
        assert "damaged or no safetensors file" in refused(load_weights, path)
    path.unlink()
    assert "no such file" in refused(load_weights, path)


def test_weights_into_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    refused(save_weights, tmp_path / "file" / "w.safetensors", Shared(), {}, error=RunError)
