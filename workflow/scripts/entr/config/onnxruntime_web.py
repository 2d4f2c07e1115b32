"""Settings of ONNX Runtime Web: where it comes from."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from entr.config.base import FrozenModel, Unique
from entr.config.field_types import Sha256, UserPath

FolderAddress = Annotated[str, Field(pattern=r"^https?://[^/]+/(.*/)?$")]


class OnnxRuntimeWeb(FrozenModel):
    """ONNX Runtime Web 1.30.0, which `snakemake web_page` puts into the web page of an exported model."""

    FILES: ClassVar[Mapping[str, str]] = {
        "javascript": "ort.wasm.bundle.min.mjs",
        "webassembly": "ort-wasm-simd-threaded.wasm",
    }
    """Names of the files in the package, by kind."""

    urls: Annotated[tuple[FolderAddress, ...], Field(min_length=1), Unique] = (
        "https://cdn.jsdelivr.net/npm/onnxruntime-web@1.30.0/dist/",
        "https://unpkg.com/onnxruntime-web@1.30.0/dist/",
    )
    """URLs of the folder that contains `ort.wasm.bundle.min.mjs` and `ort-wasm-simd-threaded.wasm`, tried in order."""
    path: UserPath | None = None
    """Local folder with these two files, instead of `urls`."""
    javascript_sha256: Sha256 = "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90"
    """SHA-256 of `ort.wasm.bundle.min.mjs`."""
    webassembly_sha256: Sha256 = "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
    """SHA-256 of `ort-wasm-simd-threaded.wasm`."""

    def checksums(self) -> dict[str, str]:
        """Return the checksum of each file, by kind."""
        sums = {"javascript": self.javascript_sha256, "webassembly": self.webassembly_sha256}
        return {kind: f"sha256:{sums[kind]}" for kind in self.FILES}
