"""What a grid has to download, and whether the servers respond."""

import inspect
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import huggingface_hub
import requests
import torchvision.datasets
import urllib3
from rich.filesize import decimal

from entr.config.download_settings import redact_url
from entr.config.onnxruntime_web import OnnxRuntimeWeb
from entr.config.schema import Config, Dataset
from entr.data.download import describe_proxy_error
from entr.data.http_session import open_session
from entr.data.sources.url_list import mark_unusable, read_url_list
from entr.jobs.errors import EntrError
from entr.models.pretrained import weights_address
from entr.preflight.findings import Finding

SECONDS = 5
"""Timeout for a connection and for a response; the one of a download, which may be longer, is ``download.timeout``."""
HOSTS = 8
"""Maximum number of hosts of a URL list that are tried."""
URL_IN_CODE = re.compile(r"""https?://[^\s"'{}<>]+""")


@dataclass(frozen=True)
class Download:
    """Something that a job has to download."""

    what: str
    urls: Sequence[str]
    """Any of them suffices."""
    remedy: str
    """What to do without internet access."""
    n_bytes: int | None = None
    is_required: bool = True
    """Whether the run needs it; otherwise only a target that is named on the command line does."""

    def __str__(self) -> str:
        return f"{self.what} ({decimal(self.n_bytes)})" if self.n_bytes else self.what


def check_sources(settings: Config, folder: Path) -> tuple[list[Finding], list[Download]]:
    """Find local files and weights that do not exist, and return the downloads that are missing in the results.

    Parameters
    ----------
    settings : Config
        The configuration.
    folder : Path
        The results.
    """
    findings: list[Finding] = []
    missing: list[Download] = []
    for name in settings.grid.datasets:
        if (folder / "data" / name / "originals").exists():
            continue
        dataset = settings.datasets[name]
        if dataset.path and not Path(dataset.path).exists():
            detail = f"datasets.{name}.path: {dataset.path} does not exist"
            findings.append(Finding("images", detail, "problem", "correct the path, or copy the images there"))
            continue
        try:
            missing += _images_of(name, dataset)
        except EntrError as error:
            findings.append(Finding("images", str(error), "problem", f"correct datasets.{name}"))
    for model in settings.grid.models if settings.weights == "imagenet" else ():
        if not (folder / "weights" / f"{model}.safetensors").exists():
            try:
                missing.append(_weights_of(model))
            except EntrError as error:
                findings.append(Finding("weights", str(error), "problem", "set weights: none"))
    if not all((folder / "onnxruntime-web" / file).exists() for file in OnnxRuntimeWeb.FILES.values()):
        missing += _runtime_of_web_page(settings.onnxruntime_web)
    return findings, missing


def _images_of(name: str, dataset: Dataset) -> Iterator[Download]:
    title = f"images of {name}"
    if dataset.source == "archive" and not dataset.path:
        yield Download(title, dataset.urls, f"set datasets.{name}.path to a local copy", dataset.bytes)
    elif dataset.source == "url_list":
        links = mark_unusable(read_url_list(str(dataset.path), f"datasets.{name}.path"))
        by_host = {urlsplit(link.url).hostname: link.url for link in links if link.status == "pending"}
        yield Download(title, [*by_host.values()][:HOSTS], f"set datasets.{name}.source: folder, with local images")
    elif dataset.source == "torchvision" and (urls := urls_of_torchvision(str(dataset.torchvision))):
        yield Download(title, urls, f"set datasets.{name}.source: folder, with local images")


def urls_of_torchvision(name: str) -> list[str]:
    """Return the URLs in the code of a dataset of torchvision, which has no attribute for them.

    Parameters
    ----------
    name : str
        Name of a class in `torchvision.datasets`.
    """
    dataset = getattr(torchvision.datasets, name, None)
    if not inspect.isclass(dataset):
        return []
    # URLs in the docstring are for readers
    return URL_IN_CODE.findall(inspect.getsource(dataset).replace(dataset.__doc__ or "", ""))


def _weights_of(model: str) -> Download:
    address = weights_address(model)
    url = address if isinstance(address, str) else huggingface_hub.hf_hub_url(*address)
    return Download(f"weights of {model}", [url], "set weights to a local file, or to none")


def _runtime_of_web_page(runtime: OnnxRuntimeWeb) -> Iterator[Download]:
    if not runtime.path:
        urls = [f"{url}{runtime.FILES['javascript']}" for url in runtime.urls]
        yield Download("ONNX Runtime Web for `snakemake web_page`", urls, "set onnxruntime_web.path", is_required=False)


def check_downloads(downloads: Sequence[Download], timeout: float = SECONDS) -> list[Finding]:
    """Connect to all servers in parallel, and report the downloads that no server provides.

    Parameters
    ----------
    downloads : sequence of Download
        What has to be downloaded.
    timeout : float
        Seconds to wait for a connection, and again for a response.
    """
    urls = list({url for download in downloads for url in download.urls})
    if not urls:
        return [Finding("downloads", "none are missing")]
    with ThreadPoolExecutor(len(urls)) as pool:
        problems = dict(zip(urls, pool.map(lambda url: try_url(url, timeout), urls), strict=True))
    reachable = [str(download) for download in downloads if not all(problems[url] for url in download.urls)]
    unreachable: dict[tuple[str, str, bool], list[str]] = {}
    for download in downloads:
        if all(problems[url] for url in download.urls):
            # as several models have the same server
            tried = [f"{urlsplit(redact_url(url)).netloc}: {problems[url]}" for url in download.urls]
            key = "; ".join(dict.fromkeys(tried)), _remedy(download), download.is_required
            unreachable.setdefault(key, []).append(str(download))
    findings = [Finding("downloads", f"missing, and servers respond: {', '.join(reachable)}")] if reachable else []
    for (tried_servers, remedy, is_required), names in unreachable.items():
        detail = f"cannot be downloaded here: {', '.join(names)} ({tried_servers})"
        findings.append(Finding("downloads", detail, "problem" if is_required else "warning", remedy))
    return findings


def _remedy(download: Download) -> str:
    if not download.is_required:
        return f"if you want a web page, set https_proxy, or {download.remedy}"
    return f"run `snakemake downloads` where there is internet, set https_proxy, or {download.remedy}"


def try_url(url: str, timeout: float) -> str:
    """Request a file without reading it, through the proxy of the environment, and return why that fails, or ""."""
    try:
        with open_session() as session, closing(session.get(url, stream=True, timeout=timeout)) as response:
            # a server may refuse a directory and provide the files in it
            is_file = not urlsplit(url).path.endswith("/")
            return f"HTTP {response.status_code}" if is_file and response.status_code >= HTTPStatus.BAD_REQUEST else ""
    except requests.exceptions.ProxyError as error:
        return describe_proxy_error(error)
    except requests.exceptions.SSLError:
        return "TLS error"
    except (requests.Timeout, TimeoutError):
        return "timed out"
    except requests.ConnectionError:
        return "no connection"
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        return f"invalid URL or response ({type(error).__name__})"
