"""Memory of a process on a CPU."""

import logging
import os
import platform
import subprocess
import sys

import pytest

from entr.devices import torch_device

BLOCKS = """
import resource, sys, torch
from entr.devices import torch_device
if sys.argv[1] == "retained":
    torch_device.choose_device("cpu")
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(25_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
"""Prints the page faults of twenty blocks of 100 MB, each freed before the next is allocated."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_large_freed_blocks_are_reused():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    retained, returned = (
        int(subprocess.run([sys.executable, "-c", BLOCKS, how], capture_output=True, text=True, env=environment).stdout)
        for how in ("retained", "default")
    )
    assert retained < returned / 2


def test_other_c_library_is_logged(monkeypatch, caplog):
    """In place of musl and macOS, which are not available here."""
    monkeypatch.setattr(torch_device.ctypes, "pythonapi", object())
    caplog.set_level(logging.INFO, "entr")
    monkeypatch.setattr(logging.getLogger("entr"), "propagate", True)
    torch_device.retain_freed_memory()
    assert "freed memory cannot be retained" in caplog.text
