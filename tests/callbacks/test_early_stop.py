"""Searches that stop before their last epoch end as finished searches, and say why."""

import json

import pytest
import torch

from lnas.callbacks import (
    CollapseWarning,
    DeriveGenotype,
    GenotypeTrail,
    RunCard,
    SkipCountStop,
    StableRankingStop,
)
from lnas.errors import InputError
from lnas.search import SearchCallback


class Lead(SearchCallback):
    """Sets the logits behind each epoch: epoch -> operation that wins on every edge."""

    def __init__(self, winners):
        self.winners = winners

    def on_train_epoch_end(self, trainer, module):
        column = module.space.operation_column(self.winners[trainer.current_epoch])
        with torch.no_grad():
            for logits in module.architecture.logits.values():
                logits.zero_()
                logits[:, column] = 5.0


def card(folder):
    return json.loads((folder / "run_card.json").read_text())


SKIPS = ["sep_conv_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_3x3"]


def test_two_skips_in_the_derived_normal_cell_end_the_search(
    small_trainer, small_module, small_data, tmp_path, capsys
):
    module, derive = small_module(), DeriveGenotype()
    parts = [Lead(SKIPS), SkipCountStop(), CollapseWarning(), GenotypeTrail(0), RunCard(), derive]
    small_trainer(*parts, epochs=4).fit(module, datamodule=small_data)
    assert module.steps == 4  # two epochs of two batches
    reason = "4 skip connections in the normal cell, of 2 that end it"
    assert f"Stopped behind epoch 1: {reason}." in capsys.readouterr().out
    assert {op for _, _, op in derive.genotype.edges("normal")} == {"skip_connect"}
    found = card(tmp_path)
    assert (found["status"], found["stopped"]) == ("finished", reason)
    assert found["genotype_hash"] == derive.genotype.hash
    assert len((tmp_path / "genotypes.jsonl").read_text().splitlines()) == 2


def test_one_skip_more_is_allowed_with_a_higher_limit_and_counted_where_asked(
    small_trainer, small_module, small_data
):
    module = small_module()
    small_trainer(Lead(SKIPS), SkipCountStop(limit=5), epochs=2).fit(module, datamodule=small_data)
    assert module.steps == 4
    counted = SkipCountStop(limit=4, cell_type="reduce")
    small_trainer(Lead(SKIPS), counted, epochs=4).fit(small_module(), datamodule=small_data)
    assert "in the reduce cell" in counted.reason


def test_a_search_that_ran_to_its_end_has_no_reason(
    small_trainer, small_module, small_data, tmp_path
):
    parts = [Lead(["sep_conv_3x3"] * 2), SkipCountStop(), RunCard()]
    small_trainer(*parts, epochs=2).fit(small_module(), datamodule=small_data)
    assert "stopped" not in card(tmp_path)


def test_a_stopped_search_that_was_killed_derives_and_does_not_train(
    small_trainer, small_module, small_data, tmp_path
):
    module = small_module()
    small_trainer(Lead(SKIPS), SkipCountStop(), epochs=4).fit(module, datamodule=small_data)
    resumed, derive = small_module(), DeriveGenotype()
    parts = [Lead(SKIPS), SkipCountStop(), RunCard(), derive]
    last = tmp_path / "checkpoints/last.ckpt"
    small_trainer(*parts, epochs=4).fit(resumed, datamodule=small_data, ckpt_path=last)
    assert resumed.steps == module.steps == 4
    same = resumed.state_dict()
    assert all(torch.equal(value, same[name]) for name, value in module.state_dict().items())
    assert derive.genotype == module.space.derive(module.architecture.probabilities())
    assert "skip connections" in card(tmp_path)["stopped"]


STEADY = ["sep_conv_3x3", "avg_pool_3x3", *["sep_conv_3x3"] * 6]


def test_a_ranking_that_stays_ends_the_search(small_trainer, small_module, small_data):
    module, stop = small_module(), StableRankingStop(epochs=3)
    trainer = small_trainer(Lead(STEADY), stop, epochs=8)
    trainer.fit(module, datamodule=small_data)
    # It last changed behind epoch 2 and stayed behind 3, 4 and 5.
    assert module.steps == 2 * 6
    assert stop.signals() == {"unchanged_epochs": 3.0}
    assert "for 3 epochs" in stop.reason


def test_the_count_of_stable_epochs_resumes(small_trainer, small_module, small_data, tmp_path):
    first, second = StableRankingStop(epochs=3), StableRankingStop(epochs=3)
    trainer = small_trainer(Lead(STEADY), first, epochs=8, max_steps=8)  # up to epoch 3
    trainer.fit(small_module(), datamodule=small_data)
    assert first.unchanged == 1
    module, last = small_module(), tmp_path / "checkpoints/last.ckpt"
    trainer = small_trainer(Lead(STEADY), second, epochs=8)
    trainer.fit(module, datamodule=small_data, ckpt_path=last)
    assert module.steps == 2 * 6
    assert second.reason == "no edge has changed its strongest operation for 3 epochs"


@pytest.mark.parametrize("make", [lambda: SkipCountStop(0), lambda: StableRankingStop(0)])
def test_what_would_stop_every_search_is_refused(make):
    with pytest.raises(InputError, match="give 1 or more"):
        make()
