from hashlib import sha256

import pytest

from entr.config.onnxruntime_web import OnnxRuntimeWeb
from entr.deploy.onnxruntime_web import fetch_onnxruntime_web
from entr.jobs.errors import EntrError

CONTENT = {"javascript": b"export default 1;", "webassembly": b"\0asm"}
NAMES = OnnxRuntimeWeb.FILES


def settings(**keys):
    checksums = {f"{kind}_sha256": sha256(content).hexdigest() for kind, content in CONTENT.items()}
    return checksums | keys


def fetch(folder, **keys):
    destinations = {kind: folder / name for kind, name in NAMES.items()}
    fetch_onnxruntime_web(settings(**keys), destinations, {"retries": 0})
    return {kind: path.read_bytes() for kind, path in destinations.items()}


def serve(server, kinds=tuple(CONTENT), version="1.2.3"):
    """Serve the files as a content delivery network does, and return the URL of their folder."""
    for kind in kinds:
        server.add(f"/npm/onnxruntime-web@{version}/dist/{NAMES[kind]}", CONTENT[kind])
    return f"{server.address}/npm/onnxruntime-web@{version}/dist/"


def test_files_are_downloaded_from_the_first_url_that_has_them(server, tmp_path):
    urls = [f"{server.address}/absent/", serve(server)]
    assert fetch(tmp_path / "runtime", urls=urls) == CONTENT


def test_failed_download_names_the_files_to_bring_and_leaves_none(server, tmp_path):
    with pytest.raises(EntrError) as caught:
        fetch(tmp_path / "runtime", urls=[f"{server.address}/absent/"])
    message = str(caught.value)
    assert "\n" not in message
    assert f"{server.address}/absent/ort.wasm.bundle.min.mjs: HTTP 404 Not Found" in message
    assert "bring ort.wasm.bundle.min.mjs and ort-wasm-simd-threaded.wasm of onnxruntime-web" in message
    assert message.endswith("set onnxruntime_web.path to their folder")
    assert list((tmp_path / "runtime").iterdir()) == []


def test_file_of_another_version_is_refused(server, tmp_path):
    with pytest.raises(EntrError, match="checksum mismatch"):
        fetch(tmp_path / "runtime", urls=[serve(server)], webassembly_sha256="0" * 64)
    assert not (tmp_path / "runtime" / NAMES["webassembly"]).exists()


def test_files_of_a_local_folder_are_copied_without_any_request(server, tmp_path):
    for kind, name in NAMES.items():
        (tmp_path / name).write_bytes(CONTENT[kind])
    assert fetch(tmp_path / "runtime", path=str(tmp_path), urls=[serve(server)]) == CONTENT
    assert server.requests == []


@pytest.mark.parametrize("content", [None, b"another version"])
def test_missing_or_other_local_file_is_one_clear_error(content, tmp_path):
    if content:
        (tmp_path / NAMES["javascript"]).write_bytes(content)
    with pytest.raises(EntrError, match=r"onnxruntime_web\.path: .*ort\.wasm\.bundle\.min\.mjs cannot be used \("):
        fetch(tmp_path / "runtime", path=str(tmp_path))
    assert not (tmp_path / "runtime" / NAMES["javascript"]).exists()
