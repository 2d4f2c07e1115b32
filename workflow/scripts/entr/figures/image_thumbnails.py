"""Thumbnails: images embedded in charts and pages."""

import base64
import io
from pathlib import Path

from PIL import Image


def thumbnail_url(path: Path, side: int) -> str:
    """Return the central square of an image, resized to a side in px, as a data URL."""
    with Image.open(path) as image:
        edge = min(image.size)
        left, top = (image.width - edge) // 2, (image.height - edge) // 2
        square = image.crop((left, top, left + edge, top + edge)).resize((side, side), Image.Resampling.LANCZOS)
    return _data_url(square)


def whole_image_url(path: Path, side: int) -> str:
    """Return an image, downscaled to a longer side in px if it is larger, as a data URL."""
    with Image.open(path) as image:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        return _data_url(image)


def _data_url(image: Image.Image) -> str:
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
