"""Compiling and loading the kernels: once per machine, source and compiler.

The library lies in a folder that only its user can write (`XDG_CACHE_HOME`, else `~/.cache`); its
name holds a hash of all that it depends on, so that nothing stale is loaded.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

SOURCES = sorted(Path(__file__).parent.glob("*.?pp"))
SWITCH = "LNAS_KERNELS"
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-fopenmp")

_log = logging.getLogger(__name__)
_off = 0


def available() -> bool:
    """Whether compiled kernels are there to be used; the first call may compile them.

    They are not where torch.compile reads the code, which knows torch's operators alone.
    """
    if torch.compiler.is_compiling():
        return False
    return not _off and os.environ.get(SWITCH, "1") != "0" and loaded() is not None


def readable(like: Tensor) -> bool:
    """Whether compiled functions are there, and can read tensors of the device and kind of `like`.

    They leave to torch what has no memory: tensors of a compiler or of counters.
    """
    plain = type(like) in (Tensor, nn.Parameter) and like.device.type == "cpu"
    return plain and like.dtype in (torch.float32, torch.float64) and available()


@contextmanager
def disabled() -> Iterator[None]:
    """Compute with torch's operators within the block."""
    global _off
    _off += 1
    try:
        yield
    finally:
        _off -= 1


@cache
def loaded() -> ctypes.CDLL | None:
    """Return the loaded kernels, or None where they cannot be made."""
    compiler = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")
    if compiler is None or sys.platform != "linux":
        _log.info("No C++ compiler for the compiled kernels; computing with torch's operators.")
        return None
    try:
        return ctypes.CDLL(str(_built(compiler)))
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:  # or without a home
        reason = getattr(error, "stderr", None) or error
        _log.info("The compiled kernels cannot be used (%s); computing with torch's.", reason)
        return None


def _built(compiler: str) -> Path:
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True)
    runtime = _openmp()
    sources = [path.read_bytes() for path in SOURCES]
    depends = (sources, version.stdout, FLAGS, _processor(), runtime)
    key = hashlib.sha256(repr(depends).encode()).hexdigest()[:16]
    folder = _cache()
    target = folder / f"kernels-{key}.so"
    if target.exists():
        return target
    _log.info("Compiling the kernels for this machine, once: %s", target)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        # torch's own OpenMP runtime, so that there is one team of threads and not two.
        made = {str(path): f"{scratch}/{path.stem}.o" for path in SOURCES if path.suffix == ".cpp"}
        linked = f"{scratch}/kernels.so"
        end = ["-fopenmp"] if runtime is None else [runtime]
        with ThreadPoolExecutor() as together:
            units = made.items()
            list(together.map(_run, ([compiler, *FLAGS, "-c", u, "-o", o] for u, o in units)))
        _run([compiler, "-shared", *made.values(), "-o", linked, *end])
        os.replace(linked, target)
    return target


def _run(command: list[str]) -> None:
    subprocess.run(command, capture_output=True, text=True, check=True)


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "lnas"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o022:
        raise OSError(f"others can write to {folder}")
    return folder


def _openmp() -> str | None:
    found = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    return str(found[0]) if found else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
