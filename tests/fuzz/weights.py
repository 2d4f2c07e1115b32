"""Files of initial weights: safetensors and PyTorch."""

import io
import json
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random

import torch
from fuzz.damage import damage_bytes, insert_tokens, number
from fuzz.target import Target
from safetensors.torch import save
from torch import nn

from entr.models import architectures, pretrained

MODEL = "resnet18"
PICKLES = [
    *(b"cos\nsystem\n(S'touch escaped'\ntR.", b"c__builtin__\neval\n", b"ctorch\nload\n"),
    *(b"ctorch._utils\n_rebuild_tensor_v2\n", b"\x80\x02", b"\x80\x05", b"\x8c\x04code", b"X\xff\xff\xff\x7f"),
    *(b"}", b"]", b"(", b"t", b"R", b".", b"0", b"2", b"Q", b"b"),
]
TOKENS = [
    *(b"F32", b"F64", b"BF16", b"F16", b"I64", b"U16", b"U32", b"BOOL", b"F8_E4M3", b"C64", b"F4", b"shape", b"null"),
    *(b":", b",", b"-1", b"1e9", b"18446744073709551615", b"__metadata__", b"conv1.weight", b"data_offsets"),
    *(b'"', b"{", b"}", b"[", b"]"),
]


class _SmallNetwork(nn.Module):
    """A network of a kilobyte; the workflow reads its tensors in the same way as those of a large one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 3)


@cache
def _create_model(_: str) -> nn.Module:
    return _SmallNetwork()


def setup() -> None:
    architectures.create_model = _create_model


def _saved(content: object, **options: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def make_corpus() -> list[bytes]:
    torch.manual_seed(0)
    state = _SmallNetwork().state_dict()
    halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    without_classifier = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    return [
        save(state),
        save(halves, {"format": "pt", "source": "made up"}),
        save(without_classifier),
        _saved(state),
        _saved({"state_dict": dict(state), "epoch": 3}),
        _saved(OrderedDict(without_classifier), _use_new_zipfile_serialization=False),
    ]


def damage(random: Random, corpus: Sequence[bytes]) -> bytes:
    """Damage the bytes of a file, the head of a safetensors file, or the pickle in a PyTorch file."""
    data = random.choice(corpus)
    if random.random() < 0.4:
        return damage_bytes(random, corpus, [insert_tokens(*TOKENS, *PICKLES)])
    if data.startswith(b"PK"):
        return _with_damaged_pickle(random, data)
    if data.startswith(b"\x80"):
        return damage_bytes(random, [data], [insert_tokens(*PICKLES)])
    return _with_damaged_head(random, data)


def _with_damaged_pickle(random: Random, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("data.pkl") or random.random() < 0.1:
                content = damage_bytes(random, [content], [insert_tokens(*PICKLES)])
            if random.random() < 0.97:
                new.writestr(name, content)
    return buffer.getvalue()


def _with_damaged_head(random: Random, data: bytes) -> bytes:
    size = struct.unpack_from("<Q", data)[0]
    head, tensors = json.loads(data[8 : 8 + size]), data[8 + size :]
    for _ in range(random.randrange(1, 4)):
        name = random.choice(list(head))
        change = random.random()
        if change < 0.2:
            head[random.choice(["x", "__metadata__", "fc.weight", "bn1.bias", "", "\0", "é" * 99])] = head.pop(name)
            continue
        entry = head[name]
        values = [number(random), 0, 1.5, None, "F32", "U8", "F8_E5M2", "C64", [], [0], [4, 3, 3, 3], [2**32] * 2, {}]
        if isinstance(entry, dict) and entry and change < 0.7:
            key = random.choice(list(entry))
            value = entry[key]
            if isinstance(value, list) and value and random.random() < 0.6:
                value[random.randrange(len(value))] = number(random)
            else:
                entry[key] = random.choice(values)
        elif change < 0.85:
            head[name] = random.choice(values)
        else:
            del head[name]
        if not head:
            break
    text = json.dumps(head).encode()
    if random.random() < 0.1:
        text = damage_bytes(random, [text], [insert_tokens(*TOKENS)])
    claimed = len(text) if random.random() < 0.9 else number(random) % 2**64
    return struct.pack("<Q", claimed) + text + tensors[: len(tensors) - random.choice([0, 0, 0, 1, 100])]


def read(data: bytes, folder: Path) -> bool:
    """Read initial weights from a local file and store them."""
    suffix = "pth" if data[:2] in {b"PK", b"\x80\x02"} else "safetensors"
    file = folder / f"weights.{suffix}"
    file.write_bytes(data)
    pretrained.fetch_weights(MODEL, folder / "stored" / "weights.safetensors", {}, folder / "checksums.csv", file=file)
    return True


TARGET = Target(
    name="weights",
    title="initial weights: heads of safetensors files, and PyTorch files",
    make_corpus=make_corpus,
    damage=damage,
    read=read,
    setup=setup,
    inputs=12_000,
    quick_inputs=300,
    memory=2**30,
)
