import torch
from sklearn.datasets import load_digits
from torch import nn

from lnas.data import Digits


def test_digits_are_all_there_once():
    made = Digits()
    images = torch.cat([made.train_set.images, made.test_set.images]).mul(16).round()
    expected = torch.from_numpy(load_digits().images).float()
    assert (len(made.train_set), len(made.test_set)) == (1437, 360)
    assert sorted(map(tuple, images.flatten(1).tolist())) == sorted(
        map(tuple, expected.flatten(1).tolist())
    )
    streams = made.streams()
    assert len(streams.held_out) == 144
    assert len(streams.weights) + len(streams.architecture) == 1437 - 144


def test_the_test_set_is_balanced_and_the_same_for_all_seeds():
    assert set(Digits().test_set.labels.bincount().tolist()) <= {35, 36, 37}
    other = Digits(seed=3, split_seed=4)
    assert torch.equal(other.test_set.images, Digits().test_set.images)


def test_digits_are_normalised():
    images = torch.cat([images for images, _ in Digits(held_out=0).test_dataloader()])
    assert images.shape == (360, 1, 8, 8)
    assert abs(images.mean()) < 0.02
    assert abs(images.std() - 1) < 0.02


def test_a_small_network_learns_the_digits():
    torch.manual_seed(0)
    made = Digits(evaluation=True)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    loader = made.train_dataloader()
    for epoch in range(8):
        optimizer.param_groups[0]["lr"] = 5e-3 * (1 - epoch / 8)
        for images, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images), labels).backward()
            optimizer.step()
    network.eval()
    right = sum(
        int((network(images).argmax(1) == labels).sum())
        for images, labels in made.test_dataloader()
    )
    assert right / 360 > 0.97
