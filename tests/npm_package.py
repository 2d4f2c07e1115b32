"""ONNX Runtime Web from its npm package, kept between sessions."""

import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

from entr.config.onnxruntime_web import OnnxRuntimeWeb
from entr.data import download

RUNTIME = OnnxRuntimeWeb()
VERSION = re.search(r"@([\d.]+)/", RUNTIME.urls[0])[1]
CACHE = Path.home() / ".cache" / "entr-tests" / f"onnxruntime-web-{VERSION}"


def onnxruntime_web():
    """Return the files of ONNX Runtime Web, by kind, after verifying them; skip the test if they cannot be fetched."""
    files = {kind: CACHE / name for kind, name in RUNTIME.FILES.items()}
    if not all(path.exists() for path in files.values()):
        _fetch()
    for kind, checksum in RUNTIME.checksums().items():
        download.verify(files[kind], None, [checksum])
    return files


def _fetch():
    npm = shutil.which("npm")
    if not npm:
        pytest.skip(f"npm, which fetches onnxruntime-web {VERSION}, is not installed")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        command = [npm, "pack", "--silent", f"onnxruntime-web@{VERSION}"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            pytest.skip(f"npm could not fetch onnxruntime-web {VERSION}: {done.stderr.strip()}")
        with tarfile.open(Path(folder, done.stdout.strip())) as package:
            for name in RUNTIME.FILES.values():
                package.extract(f"package/dist/{name}", folder, filter="data")
                Path(folder, "package", "dist", name).replace(CACHE / name)
