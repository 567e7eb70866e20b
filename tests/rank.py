"""One of several processes of a test: a fork of a server that has imported everything."""

import importlib.util
import os
import sys
from pathlib import Path

import torch


def take_part(file, name, place, environment, folder):
    """Call a function of a test's file with the arguments in `arguments.pt`, beside the place.

    Args:
        file: The test's file.
        name: The function.
        place: What it returns becomes `PLACE.pt`, what it prints `PLACE.log`.
        environment: All variables.
        folder: Where it runs.
    """
    with place.with_suffix(".log").open("w") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    torch.set_num_threads(1)
    spec = importlib.util.spec_from_file_location("test_of_ranks", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    arguments = torch.load(Path(place).with_name("arguments.pt"), weights_only=False)
    torch.save(getattr(module, name)(*arguments), place.with_suffix(".pt"))
