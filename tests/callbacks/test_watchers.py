"""What is watched per epoch: the trail of genotypes, the gap, collapse, and the pictures."""

import json

import pytest
import torch
from lightning.pytorch import Callback

from lnas.callbacks import (
    ArchitecturePictures,
    CollapseWarning,
    DiscretizationGap,
    GenotypeTrail,
    architecture_pictures,
)
from lnas.callbacks.collapse_warning import is_collapsed
from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.loggers import read_rows
from lnas.operations.normalization import statistics
from lnas.spaces import zoo


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


def test_gates_are_logged_as_histograms_of_all_edges_and_of_each(
    small_trainer, small_module, small_data, monkeypatch
):
    logged = {}

    def note(trainer, name, values, step):
        logged[name] = values

    monkeypatch.setattr(architecture_pictures, "log_histogram", note)
    module = small_module()
    small_trainer(ArchitecturePictures(every=9)).fit(module, datamodule=small_data)
    for kind, table in module.architecture.probabilities().items():
        torch.testing.assert_close(logged.pop(f"arch/{kind}/gates"), table.detach())
        for edge, row in zip(module.space.edges, table, strict=True):
            found = logged.pop(f"arch/{kind}/gates/{edge.name}")
            torch.testing.assert_close(found, row.detach())
    assert not logged


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


def test_the_gap_is_child_minus_supernet_on_the_held_out_images(
    small_trainer, small_module, small_data, tmp_path
):
    module = small_module()
    small_trainer(DiscretizationGap()).fit(module, datamodule=small_data)
    row = next(r for r in read_rows(tmp_path / "metrics.csv") if "search/gap_loss" in r)
    (images, labels), *more = small_data.held_out_loader()
    assert not more
    gates = {k: v.detach() for k, v in module.architecture.probabilities().items()}
    measured = []
    for sample in (module.space.one_hot(module.space.derive(gates)), gates):
        with torch.no_grad(), statistics(module.supernet, "batch"):
            logits = module.supernet(images, sample).logits
        loss = torch.nn.functional.cross_entropy(logits, labels).item()
        measured.append((loss, (logits.argmax(1) == labels).float().mean().item()))
    (child, child_accuracy), (whole, accuracy) = measured
    assert row["search/child_loss"] == pytest.approx(child, rel=1e-5)
    assert row["search/gap_loss"] == pytest.approx(child - whole, abs=1e-5)
    assert row["search/gap_accuracy"] == pytest.approx(child_accuracy - accuracy, abs=1e-6)
    assert child != whole


def test_the_gap_is_measured_on_the_batches_that_the_trainer_validates_on(
    small_trainer, small_module, small_data, tmp_path, monkeypatch
):
    data = type(small_data)(
        torch.randint(256, (64, 3, 8, 8), dtype=torch.uint8), torch.arange(64) % 4,
        num_classes=4, batch_size=8, held_out=0.5,
    )  # fmt: skip
    module = small_module()
    seen = []
    held_out = type(module).held_out_batches

    def counted(self):
        for batch in held_out(self):
            seen.append(batch)
            yield batch

    monkeypatch.setattr(type(module), "held_out_batches", counted)
    for callback, limit, expected in (
        (DiscretizationGap(), 1.0, 4), (DiscretizationGap(), 2, 2), (DiscretizationGap(1), 2, 1),
    ):  # fmt: skip
        seen.clear()
        trainer = small_trainer(callback, limit_val_batches=limit)
        trainer.fit(small_module(), datamodule=data)
        assert len(seen) == 2 * expected  # supernet and child


def test_nothing_is_reported_as_a_gap_when_nothing_is_held_out(
    small_trainer, small_module, small_data, tmp_path
):
    data = type(small_data)(
        torch.zeros(32, 3, 8, 8, dtype=torch.uint8), torch.arange(32) % 4,
        num_classes=4, batch_size=8, held_out=0,
    )  # fmt: skip
    small_trainer(DiscretizationGap()).fit(small_module(), datamodule=data)
    assert not any("gap" in name for r in read_rows(tmp_path / "metrics.csv") for name in r)


def test_more_than_two_skips_of_eight_are_a_collapse():
    genotype = zoo.load("darts_v2")

    def with_skips(count):
        cell = [[("sep_conv_3x3", 0), ("sep_conv_3x3", 1)] for _ in range(4)]
        for node in range(count):
            cell[node][0] = ("skip_connect", 0)
        return Genotype("darts", {"normal": cell, "reduce": genotype.cells["reduce"]})

    assert [is_collapsed(with_skips(n)) for n in (0, 2, 3)] == [False, False, True]


def test_more_than_half_of_a_nasbench201_cell_is_a_collapse():
    def with_skips(count):
        names = ["skip_connect"] * count + ["nor_conv_3x3"] * (6 - count)
        a, b, c, d, e, f = names
        text = f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"
        return Genotype.from_text(text)

    assert [is_collapsed(with_skips(n)) for n in (3, 4)] == [False, True]


def test_a_collapse_is_warned_of_once_and_logged_each_epoch(
    small_trainer, small_module, small_data, tmp_path, capsys
):
    module = small_module(nodes=4)
    column = module.space.operations.index("skip_connect")
    with torch.no_grad():
        for logits in module.architecture.logits.values():
            logits[:, column] = 9.0
    small_trainer(CollapseWarning(), epochs=2).fit(module, datamodule=small_data)
    assert capsys.readouterr().out.count("COLLAPSE") == 1
    rows = [r for r in read_rows(tmp_path / "metrics.csv") if "arch/collapsed" in r]
    assert [(r["arch/collapsed"], r["arch/normal/skips"]) for r in rows] == [(1, 8), (1, 8)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: GenotypeTrail(-1),
        lambda: DiscretizationGap(0),
        lambda: ArchitecturePictures(0),
    ],
)
def test_impossible_intervals_are_refused(make):
    with pytest.raises(InputError, match="give"):
        make()
