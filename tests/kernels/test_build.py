"""How the kernels are made, kept, and done without."""

import os
import shutil
import stat

import pytest

from lnas import kernels
from lnas.kernels import build

needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler here")


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A cache of its own, and no library in memory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(build.SWITCH, raising=False)
    build.loaded.cache_clear()
    yield tmp_path / "lnas"
    build.loaded.cache_clear()


@needs_compiler
def test_kernels_are_compiled_once_and_kept(fresh):
    assert kernels.available()
    (made,) = fresh.iterdir()
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o700
    before = made.stat().st_mtime_ns
    build.loaded.cache_clear()
    assert kernels.available()
    assert [p.stat().st_mtime_ns for p in fresh.iterdir()] == [before]


def test_without_a_compiler_torch_computes(fresh, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not kernels.available()


@needs_compiler
def test_a_compiler_that_fails_is_done_without_and_leaves_nothing(fresh, monkeypatch):
    monkeypatch.setattr(build, "FLAGS", ("--no-such-flag",))
    assert not kernels.available()
    assert not list(fresh.iterdir())


@needs_compiler
def test_a_folder_that_others_can_write_is_not_trusted(fresh):
    fresh.mkdir()
    os.chmod(fresh, 0o777)
    assert not kernels.available()


@needs_compiler
def test_without_a_home_torch_computes(fresh, monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(build.Path, "home", nowhere)
    assert not kernels.available()


def test_they_can_be_switched_off(monkeypatch):
    with kernels.disabled():
        assert not kernels.available()
    monkeypatch.setenv(build.SWITCH, "0")
    assert not kernels.available()
