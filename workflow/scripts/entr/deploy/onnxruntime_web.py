"""ONNX Runtime Web, the runtime of the web page: downloaded or local, and verified."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from entr.config.download_settings import DownloadSettings
from entr.config.onnxruntime_web import OnnxRuntimeWeb
from entr.data import download
from entr.jobs.errors import EntrError
from entr.jobs.files import atomic_write


def fetch_onnxruntime_web(
    settings: Mapping[str, Any],
    destinations: Mapping[str, str | Path],
    download_settings: Mapping[str, Any],
) -> None:
    """Fetch the two files of ONNX Runtime Web, and verify them.

    Parameters
    ----------
    settings : mapping
        The section ``onnxruntime_web`` of the configuration.
    destinations : mapping
        Paths of the files ``javascript`` and ``webassembly``, which are named as in the package.
    download_settings : mapping
        The section ``download`` of the configuration.

    Raises
    ------
    EntrError
        If a file cannot be downloaded, is not in the local folder, or differs from the expected one.
    """
    runtime = OnnxRuntimeWeb.model_validate(settings)
    limits = DownloadSettings.model_validate(download_settings)
    for kind, checksum in runtime.checksums().items():
        destination = Path(destinations[kind])
        if runtime.path:
            _copy(Path(runtime.path), destination, checksum)
        else:
            _download(runtime, destination, checksum, limits)


def _copy(folder: Path, destination: Path, checksum: str) -> None:
    source = folder / destination.name
    try:
        download.verify(source, None, [checksum])
    except (OSError, download.DownloadError) as error:
        raise EntrError(
            f"onnxruntime_web.path: {source} cannot be used ({error}); correct the path, or bring the file of the "
            "version to which the checksum belongs"
        ) from error
    with atomic_write(destination, "wb") as file:
        file.write(source.read_bytes())


def _download(runtime: OnnxRuntimeWeb, destination: Path, checksum: str, limits: DownloadSettings) -> None:
    urls = [f"{url}{destination.name}" for url in runtime.urls]
    try:
        download.download(urls, destination, limits, key="onnxruntime_web.urls", checksums=[checksum])
    except EntrError as error:
        raise EntrError(
            f"{error}. Without internet access: bring {' and '.join(runtime.FILES.values())} of onnxruntime-web, and "
            "set onnxruntime_web.path to their folder"
        ) from error
