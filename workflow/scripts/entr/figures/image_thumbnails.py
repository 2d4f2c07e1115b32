"""Thumbnails: square images embedded in charts."""

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
    file = io.BytesIO()
    square.convert("RGB").save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
