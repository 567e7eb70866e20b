"""Checkpoints are whole or absent, and never programs."""

import errno
import pickle

import pytest
import torch

from lnas.callbacks import AtomicCheckpointIO
from lnas.errors import InputError

WHOLE = {
    "state_dict": {"w": torch.arange(3.0)}, "loops": {}, "callbacks": {}, "optimizer_states": [],
}  # fmt: skip


class Payload:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


def test_what_was_written_is_read(tmp_path):
    AtomicCheckpointIO().save_checkpoint(WHOLE, tmp_path / "deep/last.ckpt")
    found = AtomicCheckpointIO().load_checkpoint(tmp_path / "deep/last.ckpt", weights_only=False)
    assert torch.equal(found["state_dict"]["w"], torch.arange(3.0))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("write", [torch.save, lambda v, p: p.write_bytes(pickle.dumps(v))])
def test_a_pickled_payload_is_refused_before_it_runs(tmp_path, write):
    path, mark = tmp_path / "last.ckpt", tmp_path / "executed"
    write({**WHOLE, "extra": Payload(mark)}, path)
    with pytest.raises(InputError, match="cannot be read: it carries code") as error:
        AtomicCheckpointIO().load_checkpoint(path, weights_only=False)
    assert "\n" not in str(error.value)
    assert not mark.exists()


@pytest.mark.parametrize("keep", [0, 10, 400])
def test_a_damaged_file_is_one_line(tmp_path, keep):
    path = tmp_path / "last.ckpt"
    torch.save(WHOLE, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"last\.ckpt cannot be read: it is damaged; use"):
        AtomicCheckpointIO().load_checkpoint(path)


def test_a_weight_that_has_changed_on_the_disk_is_damage(tmp_path):
    path = tmp_path / "last.ckpt"
    torch.save(WHOLE, path)
    content = bytearray(path.read_bytes())
    place = content.index(torch.arange(3.0).numpy().tobytes())
    content[place + 5] ^= 1
    path.write_bytes(content)
    assert torch.load(path, weights_only=True)["state_dict"]["w"].tolist() != [0, 1, 2]
    with pytest.raises(InputError, match="it is damaged"):
        AtomicCheckpointIO().load_checkpoint(path)


def test_foreign_and_missing_files_are_refused(tmp_path):
    torch.save({"w": torch.zeros(1)}, tmp_path / "weights.pt")
    with pytest.raises(InputError, match="is not a checkpoint of a run"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "weights.pt")
    with pytest.raises(InputError, match="There is no checkpoint"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "nothing.ckpt")


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(WHOLE, path)
    before = path.read_bytes()

    def full(self, data):
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(InputError, match="No space left on device"):
        AtomicCheckpointIO().save_checkpoint({**WHOLE, "more": 1}, path)
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["last.ckpt"]
