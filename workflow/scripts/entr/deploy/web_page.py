"""A web page that classifies images in the browser: one file with the model and ONNX Runtime Web, used offline."""

import base64
import gzip
import json
import logging
import re
from pathlib import Path
from typing import Any

from markupsafe import Markup

from entr.deploy.held_out_accuracy import HeldOutAccuracy
from entr.figures.html_pages import inline_json, render_template
from entr.jobs.files import atomic_write

log = logging.getLogger("entr")

PAGE = "classify.html"
COMPRESSION = 6
"""Level of gzip; higher ones take longer and save little, because weights are hardly compressible."""
SOURCE_MAP = re.compile(rb"^//# sourceMappingURL=.*$", re.MULTILINE)
"""A comment by which a browser's developer tools request another file."""


def write_web_page(folder: str | Path, title: str, javascript: str | Path, webassembly: str | Path) -> None:
    """Write the web page of an exported model, ``classify.html``, into the directory of the model.

    Parameters
    ----------
    folder : path
        Directory of the exported model.
    title : str
        Title of the dataset.
    javascript, webassembly : path
        The files that `onnxruntime_web.fetch_onnxruntime_web` writes.
    """
    folder = Path(folder)
    classes = _read_json(folder / "classes.json")
    test = folder / "test.json"
    blocks = {
        "runtime": SOURCE_MAP.sub(b"", Path(javascript).read_bytes()),
        "webassembly": Path(webassembly).read_bytes(),
        "model": (folder / "model.onnx").read_bytes(),
    }
    html = render_template(
        "web_page.html.j2",
        title=title,
        classes=classes,
        test=HeldOutAccuracy(**_read_json(test)) if test.exists() else None,
        settings=inline_json({"classes": classes, "preprocessing": _read_json(folder / "preprocessing.json")}),
        blocks={name: _compressed(content) for name, content in blocks.items()},
    )
    with atomic_write(folder / PAGE) as file:
        file.write(html)
    log.info("%s: %.0f MB; open it in a browser", folder / PAGE, len(html) / 1e6)


def _read_json(path: Path) -> Any:  # noqa: ANN401  any JSON value
    return json.loads(path.read_text(encoding="utf-8"))


def _compressed(content: bytes) -> Markup:
    """Return bytes for a script element; the same bytes at any time."""
    return Markup(base64.b64encode(gzip.compress(content, COMPRESSION, mtime=0)).decode())  # noqa: S704  letters and digits only
