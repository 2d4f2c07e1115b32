"""Lists of links, as people export them from spreadsheets and search results."""

import io
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from random import Random

from fuzz.damage import damage_bytes, insert_tokens
from fuzz.target import Target
from PIL import Image

from entr.config.schema import Dataset
from entr.data.sources import staging
from entr.data.sources.url_list import cached_file, fetch_url_list, mark_unusable, read_url_list


def _image() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(buffer, "PNG")
    return buffer.getvalue()


IMAGE = _image()
# no link is downloaded, so one connection is enough
SETTINGS = {"max_failed_fraction": 0.9, "connections": 1, "retries": 0}
ROWS = [
    "url,label",
    "https://example.org/1.jpg,rust",
    "https://example.org/2.jpg,rust",
    '"https://example.org/3.jpg?a=1,2",dent',
    "http://user:secret@example.org:8080/4.png,dent",
    "https://example.org/1.jpg,rust",
    "https://example.org/ä.jpg,Äpfel & Birnen",
]
WITH_CHECKSUMS = [
    "URL, Label ,sha256",
    f"https://example.org/1.jpg,rust,{sha256(IMAGE).hexdigest()}",
    "https://example.org/2.jpg,dent,",
]
TOKENS = [
    *(b",", b'"', b'""', b"\n", b"\r", b"\r\n", b"\0", b"\t", b";", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3", b" "),
    *(b"../../escaped", b"..", b"/proc/self/cwd/escaped", b"links.csv", b".hidden", b"a/b", b"a\\..\\b", b"RUST"),
    *(b"x" * 300, "ä".encode() * 128, b"file:///etc/passwd", b"ftp://a/b", b"http://", b"http://[::1"),
    *(b"http://h:99999/", b"http://h:0/", b"http://h:port/", b"http://\xe2\x84\x80.org/", b"http://a@b@c/", b"label"),
    *(b"sha256", b"x" * 140_000, b'"' + b"y\n" * 50, b"https://example.org/1.jpg", b",,,,", b"\xe2\x80\xa8"),
    *(b"\x1b[2J", b"url", b"'", b"http://[::1]/x"),
]


def make_corpus() -> list[bytes]:
    lines, other = "\n".join(ROWS) + "\n", "\r\n".join(WITH_CHECKSUMS) + "\r\n"
    return [lines.encode(), lines.replace("\n", "\r\n").encode("utf-8-sig"), other.encode(), lines.encode()[:-1]]


def damage(random: Random, corpus: Sequence[bytes]) -> bytes:
    return damage_bytes(random, corpus, [insert_tokens(*TOKENS)])


def read(data: bytes, folder: Path) -> bool:
    """Read a list and make the folder of its images, as if the images had been downloaded before."""
    path, destination = folder / "list.csv", folder / "data" / "originals"
    path.write_bytes(data)
    entry = Dataset(source="url_list", path=str(path)).model_dump(mode="json")
    cache = staging.download_cache(destination)
    cache.mkdir(parents=True)
    for link in mark_unusable(read_url_list(path, "datasets.mine.path")):
        if link.status == "pending":
            # without this file, the link would be downloaded
            cached_file(cache, link).write_bytes(IMAGE if link.line % 5 else b"<html>")
    fetch_url_list("mine", entry, destination, SETTINGS, folder / "checksums.csv")
    return True


TARGET = Target(
    name="url_lists",
    title="lists of links",
    make_corpus=make_corpus,
    damage=damage,
    read=read,
    inputs=10_000,
    quick_inputs=300,
    memory=2**29,
)
