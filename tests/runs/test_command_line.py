"""Options mean the same whatever was imported before."""

import subprocess
import sys

import pytest

PROGRAM = """
{first}
from lnas.runs.training import settings_of
found = settings_of("search", ["--config", "darts", "--trainer.limit_train_batches=1",
                               "--trainer.limit_val_batches=1.0", "--data.held_out=100"])
print(found["trainer"]["limit_train_batches"], found["trainer"]["limit_val_batches"],
      found["data"]["init_args"]["held_out"])
"""


@pytest.mark.parametrize("first", ["", "import rich.console, rich.table"])
def test_one_batch_is_not_all_batches(first):
    command = [sys.executable, "-c", PROGRAM.format(first=first)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert found.stdout == "1 1.0 100\n", found.stderr
