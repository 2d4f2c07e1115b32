"""What a process on the processor does with its memory."""

import logging
import os
import platform
import subprocess
import sys

import pytest

from entr import devices

BLOCKS = """
import resource, sys, torch
from entr import devices
if sys.argv[1] == "kept":
    devices.choose("cpu")
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(25_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
"""Prints how many pages the kernel gives for twenty blocks of 100 MB, each freed before the next is wanted."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_a_large_block_that_was_freed_is_used_again():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", BLOCKS, how], capture_output=True, text=True, env=environment).stdout)
        for how in ("kept", "as it comes")
    )
    assert kept < given_back / 2


def test_another_c_library_is_said(monkeypatch, caplog):
    """Stands for musl and macOS, which are not here."""
    monkeypatch.setattr(devices.ctypes, "pythonapi", object())
    caplog.set_level(logging.INFO, "entr")
    monkeypatch.setattr(logging.getLogger("entr"), "propagate", True)
    devices.keep_freed_memory()
    assert "freed memory cannot be kept" in caplog.text
