"""BenchmarkAccuracy refuses at setup what it cannot tell of; tests/benchmarks tests its numbers."""

import pytest

from lnas.callbacks import BenchmarkAccuracy
from lnas.errors import InputError


def test_another_space_is_refused(small_trainer, small_module, small_data):
    with pytest.raises(InputError, match="not darts"):
        small_trainer(BenchmarkAccuracy()).fit(small_module(), datamodule=small_data)


def test_without_a_table_the_remedy_is_named(small_trainer, tmp_path, monkeypatch):
    monkeypatch.delenv("LNAS_DATA", raising=False)
    with pytest.raises(InputError, match="LNAS_DATA"):
        BenchmarkAccuracy().open()
    with pytest.raises(InputError, match="has no table"):
        BenchmarkAccuracy(root=str(tmp_path)).open()
