import pickle
import subprocess
import sys

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import TensorDataset

from lnas.data import Digits, FakeImages, MapStyleData, TensorData
from lnas.errors import InputError

IMAGES, LABELS = torch.arange(100 * 4.0).reshape(100, 1, 2, 2), torch.arange(100) % 5

pytestmark = [
    # Lightning 2.6 uses what torch 2.14 deprecates.
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]


def data(**options):
    return TensorData(IMAGES, LABELS, **{"batch_size": 10, **options})


def numbers(loader):
    """The numbers of the images that one pass sees."""
    return [int(image[0, 0, 0]) // 4 for images, _ in loader for image in images]


def test_the_three_loaders_see_their_streams():
    made = data()
    streams = made.streams()
    assert sorted(numbers(made.train_dataloader())) != numbers(made.train_dataloader())
    assert set(numbers(made.train_dataloader())) <= set(streams.weights)
    assert set(numbers(made.architecture_loader())) <= set(streams.architecture)
    assert numbers(made.held_out_loader()) == numbers(made.val_dataloader()) == streams.held_out


def test_evaluation_trains_on_everything_but_the_same_held_out_images():
    search, evaluation = data(held_out=0.2), data(held_out=0.2, evaluation=True)
    assert evaluation.streams().held_out == search.streams().held_out
    assert sorted(numbers(evaluation.train_dataloader())) == list(range(20, 100))
    with pytest.raises(InputError, match="no architecture stream"):
        evaluation.architecture_loader()


def test_single_level_search_has_everything_in_the_weights_stream():
    made = data(held_out=0, architecture_fraction=0)
    assert sorted(numbers(made.train_dataloader())) == list(range(100))
    assert made.val_dataloader() == []
    with pytest.raises(InputError, match="Nothing is held out"):
        made.held_out_loader()


def test_training_images_are_augmented_and_held_out_and_test_images_are_not():
    made = data(
        test_images=IMAGES[:7],
        test_labels=LABELS[:7],
        transform=lambda image: image + torch.rand(()),
        cutout=1,
    )
    for loader in (made.train_dataloader(), made.architecture_loader()):
        images, _ = next(iter(loader))
        assert (images == 0).sum() == 10
        assert (images % 1 != 0).sum() == 30
    plain = data(transform=lambda image: image + torch.rand(()), augment=False)
    assert (next(iter(plain.train_dataloader()))[0] % 1 == 0).all()
    for loader in (made.held_out_loader(), made.test_dataloader()):
        assert all((images % 1 == 0).all() for images, _ in loader)
    assert numbers(made.test_dataloader()) == list(range(7))


def test_seed_changes_order_and_not_the_split():
    first, second = data(split_seed=0), data(split_seed=0, seed=1)
    assert first.split_hash == second.split_hash
    assert first.split_hash != data(split_seed=1).split_hash
    assert numbers(first.train_dataloader()) != numbers(second.train_dataloader())
    assert numbers(first.train_dataloader()) == numbers(data(split_seed=0).train_dataloader())


def test_any_map_style_data_set_becomes_three_streams():
    made = MapStyleData(TensorDataset(IMAGES, LABELS), num_classes=5, batch_size=10)
    assert made.image_shape == (1, 2, 2)
    assert numbers(made.train_dataloader()) == numbers(data().train_dataloader())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 46}, r"batch_size=46 exceeds the split .*weights: 45, architecture: 45"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"held_out": 1.5}, "held_out=1.5"),
        ({"held_out": 100}, "held_out=100"),
        ({"architecture_fraction": 1}, "architecture_fraction=1"),
        ({"architecture_fraction": -0.5}, "architecture_fraction=-0.5"),
        ({"workers": -1}, "workers=-1"),
        ({"cutout": -1}, "cutout=-1"),
        ({"cutout": 4}, "cutout=4 leaves nothing of images of 2 pixels"),
        ({"num_classes": 1}, "1 class"),
    ],
)
def test_bad_options_are_refused_at_once_in_one_line(options, message):
    with pytest.raises(InputError, match=message) as caught:
        data(**options)
    assert "\n" not in str(caught.value)


def test_without_a_test_set_there_is_no_test():
    with pytest.raises(InputError, match="TensorData has no test set"):
        data().test_dataloader()


class Record(lightning.LightningModule):
    """Writes down the images of each training batch."""

    def __init__(self):
        super().__init__()
        self.layer, self.seen, self.held_out = torch.nn.Linear(1, 1), [], []

    def training_step(self, batch, batch_idx):
        self.seen.append((self.current_epoch, batch_idx, batch[0].sum((1, 2, 3)).tolist()))
        return self.layer(batch[0].mean().reshape(1, 1)).sum()

    def validation_step(self, batch, batch_idx):
        self.held_out.append(batch[0].sum((1, 2, 3)).tolist())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def trainer(folder, callbacks=(), **options):
    return lightning.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        max_epochs=3,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **options,
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_lightning_resumes_in_mid_epoch_with_the_very_next_batch(tmp_path, workers):
    def fake():
        return FakeImages(images=80, shape=(1, 4, 4), batch_size=8, workers=workers)

    every = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    whole = Record()
    trainer(tmp_path, [every], num_sanity_val_steps=1).fit(whole, datamodule=fake())
    assert len(whole.seen) == 3 * 4
    assert len({tuple(images) for _, _, images in whole.seen}) == 12
    for steps in (5, 6):  # in the second epoch
        resumed = Record()
        path = tmp_path / f"step={steps}.ckpt"
        trainer(tmp_path, enable_checkpointing=False).fit(
            resumed, datamodule=fake(), ckpt_path=path, weights_only=True
        )
        assert resumed.seen == whole.seen[steps:]
        assert resumed.held_out == whole.held_out[-len(resumed.held_out) :]


TWO_RANKS = """
import sys, torch, lightning
sys.path.insert(0, sys.argv[1])
from test_base import Record, trainer
from lnas.data import FakeImages
if __name__ == "__main__":
    module = Record()
    made = trainer(sys.argv[2], enable_checkpointing=False, strategy="ddp", devices=2)
    made.fit(module, datamodule=FakeImages(images=80, shape=(1, 4, 4), batch_size=8))
    torch.save([module.seen, module.held_out], f"{sys.argv[2]}/rank{made.global_rank}.pt")
"""


def test_two_ranks_of_lightning_share_the_batches_of_one_process(tmp_path):
    # With Lightning's own default: it would replace the sampler of a plain loader.
    script = tmp_path / "two_ranks.py"
    script.write_text(TWO_RANKS)
    here = __file__.rsplit("/", 1)[0]
    command = [sys.executable, str(script), here, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    single = Record()
    made = FakeImages(images=80, shape=(1, 4, 4), batch_size=8)
    trainer(tmp_path, enable_checkpointing=False).fit(single, datamodule=made)
    ranks = [torch.load(tmp_path / f"rank{rank}.pt") for rank in range(2)]
    for (*place, images), *parts in zip(single.seen, *(seen for seen, _ in ranks), strict=True):
        assert all(part[:2] == tuple(place) and len(part[2]) == 4 for part in parts)
        assert sorted(images) == sorted(parts[0][2] + parts[1][2])
    shared = [image for _, held_out in ranks for images in held_out for image in images]
    assert sorted(shared) == sorted(image for images in single.held_out for image in images)


@pytest.mark.parametrize("kind", [Digits, FakeImages, data])
def test_workers_that_are_not_forked_get_a_copy_that_makes_the_same_batches(kind, tmp_path):
    # As on macOS, and on Linux from Python 3.14 on.
    made = kind(cutout=2)
    made.trainer = lightning.Trainer(default_root_dir=tmp_path, accelerator="cpu", logger=False)
    made.trainer.callbacks.append(lambda: "this cannot travel")
    for loader in (made.train_dataloader(), made.held_out_loader()):
        copy = pickle.loads(pickle.dumps(loader.dataset))
        key = next(iter(loader.sampler))
        for found, expected in zip(copy[key], loader.dataset[key], strict=True):
            assert torch.equal(found, expected)
        pickle.dumps((loader.collate_fn, loader.worker_init_fn))


def test_lightning_does_not_advise_more_workers(tmp_path):
    # Warnings are errors here; the advice would end the fit.
    trainer(tmp_path, enable_checkpointing=False, fast_dev_run=True).fit(
        Record(), datamodule=Digits()
    )


def test_calibration_reads_the_weights_stream_as_it_is_in_an_order_of_its_own():
    def noisy(image):
        return image + torch.rand(())

    made = TensorData(IMAGES, LABELS, batch_size=8, cutout=2, transform=noisy, seed=1)
    batches = [images for images, _ in made.calibration_loader()]
    assert all(any(torch.equal(x, i) for i in IMAGES) for images in batches for x in images)
    weights, found = made.streams().weights, numbers(made.calibration_loader())
    assert {len(images) for images in batches} == {8}
    assert len(set(found)) == len(found) == 8 * (len(weights) // 8)
    assert set(found) <= set(weights)
    assert found != sorted(found)
    plain = TensorData(IMAGES, LABELS, batch_size=8, augment=False, seed=1)
    assert found != numbers(plain.train_dataloader())
    assert found == numbers(plain.calibration_loader())
