"""Zip and tar archives, compressed or not, and nested in each other."""

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from random import Random

from fuzz.damage import damage_bytes, number
from fuzz.target import Target
from PIL import Image

from entr.config.schema import Dataset
from entr.data.sources.archive import fetch_archive

SETTINGS = {"max_bytes": 2**24, "max_files": 1000}


def gzipped(content: bytes) -> bytes:
    # without the time, so that inputs are the same each time
    return gzip.compress(content, 1, mtime=0)


COMPRESSIONS = {"": bytes, "gz": gzipped, "bz2": bz2.compress, "xz": partial(lzma.compress, preset=0)}
ESCAPES = [
    *("../escaped", "../../escaped", "set/../../../../escaped", "set/a/../../../../../../escaped", "..", "set/.."),
    # the working directory of the process, whatever its name
    *("/proc/self/cwd/escaped", "//proc/self/cwd/escaped", "set/a//proc/self/cwd/escaped"),
    *("\\proc\\self\\cwd\\escaped", "..\\..\\escaped", "set\\..\\..\\..\\escaped"),
    *("C:\\escaped", "C:escaped", "\\\\host\\share\\escaped"),
]
"""Paths that leave the folder into which an archive is extracted."""
ODD_NAMES = [
    *("", ".", "/", "set", "set/", "set/a", "set/a/", "set/a/x/", "set//a///1.png", "./set/a/./2.png", "set/A/1.png"),
    *("set/a/.hidden", "set/.git/x", "__MACOSX/set/a/1.png", "set/a/Thumbs.db", "set/CON/x", "set/a/x\ny.png"),
    *("set/a/\x7f\x1b[2J", "set/ /1.png", "set/\u202e/1.png", "set/\u00e4\u0308/1.png", "set/a/" + "x" * 300),
    *("set/a/" + "y/" * 60 + "z", "set/a/" + "y/" * 1500 + "z", "set/" + "n" * 256 + "/1.png", "set/\udcff/1.png"),
]
"""Names that file systems and messages may mistake."""


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(buffer, "PNG")
    return buffer.getvalue()


FILES = {
    "set/a/rust_1.png": _png(),
    "set/a/deeper/rust_2.png": b"two" * 400,
    "set/b/dent_1.png": b"three",
    "set/b/dent_2.txt": b"",
    "set/readme.txt": b"read me",
}


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, mode: int = 0, comment: bytes = b"") -> bytes:
    """Return a zip archive; `mode` is the Unix type and permissions of each file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", strict_timestamps=False) as opened:
        opened.comment = comment
        for name, content in files.items():
            info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode())
            info.compress_type, info.external_attr = method, mode << 16
            opened.writestr(info, content)
    return buffer.getvalue()


def _zip64() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, content in FILES.items():
            with opened.open(zipfile.ZipInfo(name), "w", force_zip64=True) as file:
                file.write(content)
    return buffer.getvalue()


def header(name: str, size: int, kind: bytes) -> bytearray:
    """Return the header of a member of a tar archive."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return bytearray(info.tobuf(tarfile.USTAR_FORMAT))


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


Entry = tuple[bytearray, bytes]
"""The header and the padded content of a member of a tar archive."""


MAX_TAR_BYTES = 4 * 10**6
"""Changes of several kinds could together make an archive that takes most of the memory."""


def _entries(tar: bytes) -> list[Entry]:
    """Split an undamaged tar archive without sparse files into its members."""
    entries, at = [], 0
    while any(head := tar[at : at + 512]):
        end = at + 512 + len(padded(bytes(int(head[124:135].rstrip(b"\0 ") or b"0", 8))))
        entries.append((bytearray(head), tar[at + 512 : end]))
        at = end
    return entries


def _joined(entries: Sequence[Entry], end: bytes = bytes(1024)) -> bytes:
    return b"".join(bytes(head) + content for head, content in entries) + end


def with_checksum(head: bytearray) -> bytearray:
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return head


def tarred(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT, pax_headers: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, pax_headers=pax_headers) as opened:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


LONG_NAMES = {**FILES, f"set/a/{'l' * 120}.png": b"long", f"set/{'d' * 90}/{'e' * 90}.png": b"deep"}
LONG_NAMES["set/ä/1.png"] = b"umlaut"
TARS = [
    tarred(FILES, tarfile.USTAR_FORMAT),
    tarred(LONG_NAMES, tarfile.GNU_FORMAT),
    tarred(LONG_NAMES, tarfile.PAX_FORMAT),
    tarred(FILES, tarfile.PAX_FORMAT, {"comment": "of all members"}),
]
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ZIPS = [
    *(zipped(FILES, method) for method in METHODS),
    zipped(LONG_NAMES | {"set/c/": b""}, comment=b"a comment"),
    zipped(FILES, mode=stat.S_IFREG | 0o644),
    _zip64(),
]
UNSUPPORTED = [zipped(FILES, method) for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)]


def make_corpus() -> list[bytes]:
    """Return archives of each format and compression, one of them with another archive in it."""
    compressed = [compress(TARS[2]) for compress in COMPRESSIONS.values()]
    nested = {"set/a/zip_1.png": ZIPS[1], "set/b/tar_1.png": compressed[1]}
    return [*TARS, *compressed, *ZIPS, zipped(nested), gzipped(tarred(nested))]


def damage(random: Random, corpus: Sequence[bytes]) -> bytes:
    """Damage the bytes of an archive or the fields of its headers, or nest it in another archive."""
    kind = random.random()
    if kind < 0.35:
        data = damage_bytes(random, [*corpus, *UNSUPPORTED])
    elif kind < 0.75:
        data = random.choice(list(COMPRESSIONS.values()))(_damaged_tar(random))
    else:
        data = _damaged_zip(random)
    if random.random() < 0.1:
        files = FILES | {f"set/a/inner_{random.randrange(9)}.png": data}
        data = zipped(files) if random.random() < 0.5 else gzipped(tarred(files))
    if random.random() < 0.1:
        data = random.choice(list(COMPRESSIONS.values()))(data)
    if random.random() < 0.1:
        data = damage_bytes(random, [data])
    return data


def _name(random: Random) -> str:
    return random.choice(random.choice([ESCAPES, ODD_NAMES, list(FILES)]))


def _tar_number(random: Random, width: int) -> bytes:
    """Return a numeric field: octal digits, base 256, or neither."""
    value, form = number(random), random.random()
    if form < 0.45:
        return (b"%0*o" % (width - 1, abs(value)))[-(width - 1) :] + b"\0"
    if form < 0.9:
        value %= 256 ** (width - 1)
        return (b"\xff" if random.random() < 0.5 else b"\x80") + value.to_bytes(width - 1, "big")
    return random.randbytes(width)


def _damage_head(random: Random, head: bytearray) -> None:
    field = random.random()
    if field < 0.25:
        name = _name(random).encode("utf-8", "surrogateescape")[:100]
        head[:100] = name.ljust(100, b"\0")
    elif field < 0.5:
        head[124:136] = _tar_number(random, 12)
    elif field < 0.75:
        head[156:157] = bytes([random.choice(b"0\x001234567LKSxgXDZ")])
        if random.random() < 0.5:
            head[157:257] = _name(random).encode("utf-8", "surrogateescape")[:100].ljust(100, b"\0")
    elif field < 0.85:
        head[345:500] = _name(random).encode("utf-8", "surrogateescape")[:155].ljust(155, b"\0")
    elif field < 0.95:
        # the fields of a sparse file in the old GNU format
        at = random.choice([386, 398, 410, 483])
        head[at : at + 12] = _tar_number(random, 12)
        head[482] = random.randrange(2)
    else:
        at = random.choice([100, 108, 116, 136, 329, 337])
        head[at : at + 8] = _tar_number(random, 8)


def _pax_records(random: Random) -> bytes:
    keys = ["path", "linkpath", "size", "mtime", "hdrcharset", "comment", "uid"]
    keys += [f"GNU.sparse.{key}" for key in ("map", "size", "realsize", "major", "minor", "name", "offset", "numbytes")]
    records = b""
    for _ in range(random.randrange(1, 6)):
        key = random.choice(keys)
        numbers = [str(number(random)), f"{number(random)},{number(random)}", "1", "0"]
        values = [_name(random), *numbers, "BINARY", "", "\0"]
        value = random.choice(values).encode("utf-8", "surrogateescape") * random.choice([1, 1, 1, 1, 400])
        body = b" " + key.encode() + b"=" + value + b"\n"
        length = len(body) + len(str(len(body) + 2))
        claimed = length if random.random() < 0.85 else number(random)
        records += str(claimed).encode() + body
    return records


def _pax_entry(random: Random) -> Entry:
    records = _pax_records(random)
    kind = random.choice([tarfile.XHDTYPE, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE])
    return header("././@PaxHeader", len(records), kind), padded(records)


def _long_name_entry(random: Random) -> Entry:
    name = _name(random).encode("utf-8", "surrogateescape") + b"\0"
    kind = random.choice([tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
    return header("@LongLink", len(name), kind), padded(name)


def _damaged_tar(random: Random) -> bytes:
    entries = _entries(random.choice(TARS))
    for _ in range(random.randrange(1, 5)):
        change, at = random.random(), random.randrange(len(entries))
        if change < 0.5:
            head = bytearray(entries[at][0])
            _damage_head(random, head)
            entries[at] = (with_checksum(head), entries[at][1])
        elif change < 0.65:
            entries.insert(at, _pax_entry(random))
        elif change < 0.75:
            entries.insert(at, _long_name_entry(random))
        elif change < 0.8:
            # many headers that describe one member
            entry = random.choice([_pax_entry, _long_name_entry])(random)
            entries[at:at] = [entry] * random.choice([2, 20, 400])
        elif change < 0.85:
            entries[at] = (entries[at][0], random.randbytes(512) * random.randrange(3))
        elif change < 0.9:
            entries[at:at] = [entries[at]] * random.choice([1, 2, 1001])
        elif len(entries) > 1:
            del entries[at]
    sizes = accumulate(512 + len(content) for _, content in entries)
    entries = [entry for entry, size in zip(entries, sizes, strict=True) if size <= MAX_TAR_BYTES]
    return _joined(entries, random.choice([bytes(1024), bytes(1024), bytes(1024), bytes(512), b"", bytes(10_240)]))


LOCAL, CENTRAL, END, END64 = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06"
FIELDS = {
    LOCAL: [(4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)],
    CENTRAL: [
        *((5, 1), (6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2)),
        *((34, 2), (38, 4), (42, 4)),
    ],
    END: [(4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)],
    END64: [(4, 8), (12, 2), (24, 8), (32, 8), (40, 8), (48, 8)],
}
"""Offsets and sizes of the fields of each kind of record in a zip archive."""


def _damaged_zip(random: Random) -> bytes:
    start = random.random()
    if start < 0.3:
        names = {_name(random): random.choice([b"x", _png(), bytes(9)]) for _ in range(random.randrange(1, 4))}
        kind = random.choice([0, 0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFBLK])
        files = FILES | names if random.random() < 0.7 else names
        data = bytearray(zipped(files, random.choice(METHODS), kind | 0o644))
    else:
        data = bytearray(random.choice([*ZIPS, *UNSUPPORTED]))
    for _ in range(random.randrange(4)):
        signature = random.choice(list(FIELDS))
        places = [at for at in range(len(data) - 3) if data[at : at + 4] == signature]
        if not places:
            continue
        at = random.choice(places)
        offset, size = random.choice(FIELDS[signature])
        value = random.choice([number(random), random.choice([0, 1, 8, 9, 12, 14, 0x800, 0x20, 0x40, 99])])
        data[at + offset : at + offset + size] = (value % 256**size).to_bytes(size, "little")
    return bytes(data)


ENTRIES = [
    Dataset(source="archive", path="archive", subfolder="set").model_dump(mode="json"),
    Dataset(source="archive", path="archive", label_regex=r"([a-z]+)_\d+\.png$").model_dump(mode="json"),
]


def read(data: bytes, folder: Path) -> bool:
    """Extract an archive; half of them have the classes in the names of the files."""
    path = folder / "archive"
    path.write_bytes(data)
    entry = ENTRIES[zlib.crc32(data) % 2] | {"path": str(path)}
    fetch_archive("mine", entry, folder / "data" / "originals", SETTINGS, folder / "checksums.csv")
    return True


TARGET = Target(
    name="archives",
    title="zip and tar archives, also nested ones",
    make_corpus=make_corpus,
    damage=damage,
    read=read,
    inputs=32_000,
    quick_inputs=500,
    memory=2**28,
)
