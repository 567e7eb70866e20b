"""The trail of genotypes: a line an epoch, a picture of each change, and both when resumed."""

import json

import pytest
import torch
from lightning.pytorch import Callback

from lnas.callbacks import ArchitecturePictures, GenotypeTrail
from lnas.errors import InputError
from lnas.genotype import Genotype


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_trail_and_pictures_hold_every_epoch(small_trainer, small_module, small_data, tmp_path):
    module = small_module()
    watchers = [GenotypeTrail(pictures_every=1), ArchitecturePictures(every=2)]
    small_trainer(*watchers, epochs=2).fit(module, datamodule=small_data)
    trail, gates = lines(tmp_path / "genotypes.jsonl"), lines(tmp_path / "gates.jsonl")
    assert [line["epoch"] for line in trail] == [line["epoch"] for line in gates] == [0, 1]
    last = module.space.derive(module.architecture.probabilities())
    assert Genotype.from_json(json.dumps(trail[-1]["genotype"])) == last
    assert trail[-1]["hash"] == last.hash
    for kind, values in module.architecture.probabilities().items():
        torch.testing.assert_close(torch.tensor(gates[-1]["gates"][kind]), values.detach())
    drawn = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert drawn == {"genotype-0000.png", "genotype-0001.png", "gates.png", "glance.png"}


def choose(module, column):
    """Make `column` the best operation of every edge, on later edges more than on earlier ones."""
    with torch.no_grad():
        for logits in module.architecture.logits.values():
            logits.zero_()
            logits[:, column] = torch.arange(1.0, len(logits) + 1)


class Turn(Callback):
    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 2:
            choose(module, 3)


def test_a_cell_is_drawn_when_it_has_changed(small_trainer, small_module, small_data, tmp_path):
    module = small_module()
    choose(module, 2)
    trail = GenotypeTrail(pictures_every=5)
    small_trainer(Turn(), trail, epochs=5).fit(module, datamodule=small_data)
    hashes = [line["hash"] for line in lines(tmp_path / "genotypes.jsonl")]
    assert hashes[0] == hashes[1] != hashes[2] == hashes[3] == hashes[4]
    drawn = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert drawn == ["genotype-0000.png", "genotype-0002.png", "genotype-0004.png"]


def test_a_resumed_search_draws_no_cell_again(small_trainer, small_module, small_data, tmp_path):
    for epochs, last in ((1, None), (2, tmp_path / "checkpoints/last.ckpt")):
        module = small_module()
        choose(module, 2)
        trainer = small_trainer(GenotypeTrail(pictures_every=5), epochs=epochs)
        trainer.fit(module, datamodule=small_data, ckpt_path=last)
    first, second = (line["hash"] for line in lines(tmp_path / "genotypes.jsonl"))
    assert first == second
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["genotype-0000.png"]


def test_resuming_drops_the_epochs_that_the_checkpoint_does_not_know(
    small_trainer, small_module, small_data, tmp_path
):
    def watchers():
        return [GenotypeTrail(0), ArchitecturePictures(100)]

    small_trainer(*watchers()).fit(small_module(), datamodule=small_data)
    for name in ("genotypes.jsonl", "gates.jsonl"):
        with (tmp_path / name).open("a") as file:
            file.write('{"epoch": 77}\n{"torn')
    last = tmp_path / "checkpoints/last.ckpt"
    small_trainer(*watchers(), epochs=2).fit(small_module(), datamodule=small_data, ckpt_path=last)
    for name in ("genotypes.jsonl", "gates.jsonl"):
        assert [line["epoch"] for line in lines(tmp_path / name)] == [0, 1]


def test_an_impossible_interval_is_refused():
    with pytest.raises(InputError, match="give"):
        GenotypeTrail(-1)
