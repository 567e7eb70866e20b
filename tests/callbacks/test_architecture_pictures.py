"""Histograms of the gates; the pictures themselves are looked at in the trail's tests."""

import pytest
import torch

from lnas.callbacks import ArchitecturePictures, architecture_pictures
from lnas.errors import InputError


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


def test_an_impossible_interval_is_refused():
    with pytest.raises(InputError, match="give"):
        ArchitecturePictures(0)
