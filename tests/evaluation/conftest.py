"""`tiny`: what the tests make evaluations from."""

from importlib import util
from pathlib import Path

import pytest


@pytest.fixture
def tiny():
    spec = util.spec_from_file_location("tiny", Path(__file__).parent / "tiny.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
