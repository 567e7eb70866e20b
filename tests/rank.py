"""One of several processes of a test: `python rank.py FILE FUNCTION ARGUMENTS RESULT`."""

import importlib.util
import sys

import torch

if __name__ == "__main__":
    file, name, arguments, result = sys.argv[1:]
    torch.set_num_threads(1)
    spec = importlib.util.spec_from_file_location("test_of_ranks", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.save(getattr(module, name)(*torch.load(arguments, weights_only=False)), result)
