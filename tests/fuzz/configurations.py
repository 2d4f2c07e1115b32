"""Configuration files in YAML, read by Snakemake's own loader."""

import copy
import math
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml
from configurations import CATALOGUE, FILES, PAPER, merged
from conftest import ROOT
from fuzz.damage import damage_bytes, insert_tokens, number
from fuzz.target import Target
from snakemake.common.configfile import load_configfile
from snakemake.utils import update_config

from entr.config import budget
from entr.config.validation import validate_config
from entr.jobs.errors import EntrError

OWN = Path("fuzzed.yaml")
HOSTILE_TEXTS = [
    *("", " ", "none", "null", "~", "~nobody-here/x", "$HOME", "..", "/", "a\nb", "a\0b", "\ud800", "x" * 5000),
    *("{", "(?!", "(a+)+$", "http://[", "http://", "https://h:99999/", "sha256:" + "0" * 64, "resnet18", "gradual"),
    *("imagenet", "2020-01-01", "1e400", "0x10", "list", "generated", "blur", "models/{model}/{model}.pth", "{model}"),
    *("\u2028", "é" * 300, "(" * 3000, "(a{99999999999999})"),
]
TOKENS = [
    *(b"\n", b":", b": ", b"- ", b"&a ", b"*a", b"!!binary ", b"!!python/tuple ", b"!!set ", b"!!timestamp ", b"? "),
    *(b"{", b"}", b"[", b"]", b"'", b'"', b"#", b"%", b"@", b"\t", b"\0", b"\xff", b"\xef\xbb\xbf", b"| ", b"> "),
    *(b"null", b"~", b"true", b"no", b".inf", b"-.inf", b".nan", b"1e400", b"1e-400", b"---\n", b"...\n", b"<<: "),
    *(b"2020-13-45", b"12:30:45", b"&a [*a]", b"seeds: 1000000000\n", b"cycles: 1000000000"),
    *(b"0x" + b"f" * 5000, b"9" * 4400, b"  "),
]


@cache
def base() -> dict[str, Any]:
    """Return the shipped catalogue and default configuration, which a user's file overrides."""
    return merged(*FILES)


def make_corpus() -> list[bytes]:
    """Return the shipped configuration files, and their sections by themselves, which are quicker to read."""
    files = [FILES[1], PAPER, *(ROOT / "config" / f"{name}.yaml" for name in ("own_images", "schedules")), CATALOGUE]
    sections = []
    for file in files[:-1]:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        sections += [_dumped({key: value}) for key, value in values.items() if key not in {"control", "grid", "images"}]
    entries = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))["datasets"]
    sections += [_dumped({"datasets": {name: entries[name]}}) for name in entries]
    sections += [b"seeds: 3\nscale: 0.5\nhours: 2\n", b'weights_sha256: {resnet18: "%s"}\n' % (b"0" * 64)]
    sections += [b"download: {timeout: 3, max_files: 10}\nrecommend: {max_seconds: 60}\nsplit: {test: 0.1, folds: 5}\n"]
    return [files[0].read_bytes(), *sections]


def _dumped(values: Any) -> bytes:
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True).encode()


def damage(random: Random, corpus: Sequence[bytes]) -> bytes:
    """Damage the text of a configuration, or its values and keys."""
    if random.random() < 0.35:
        return damage_bytes(random, corpus, [insert_tokens(*TOKENS)])
    values = yaml.safe_load(random.choice(corpus))
    for _ in range(random.randrange(1, 4)):
        _damage_values(random, values, corpus)
    if random.random() < 0.02:
        value = _hostile_value(random)
        for _ in range(random.choice([3, 60])):
            # written by aliases, so that the file is small
            value = [value, value]
        values[random.choice(["training", "x", "scale"])] = value
    return _dumped(values)


def _damage_values(random: Random, values: dict[Any, Any], corpus: Sequence[bytes]) -> None:
    """Replace, remove, rename or add one value somewhere."""
    places = list(_places(values))
    if not places:
        values["training"] = {"batch_size": number(random)}
        return
    node, key = random.choice(places)
    change = random.random()
    if change < 0.6:
        node[key] = _hostile_value(random)
    elif change < 0.7 or isinstance(node, list):
        del node[key]
    elif change < 0.8:
        name = random.choice([*HOSTILE_TEXTS[:20], f"{key}x", 0, None, True, 1.5, "sgdr", "tta", "ramp"])
        node[name] = node.pop(key)
    elif change < 0.9:
        other = yaml.safe_load(random.choice(corpus))
        node[key] = random.choice([node for node, _ in _places(other)] or [other])
    else:
        name = random.choice(["seeds", "scale", "hours", "images", "control", "regimes", "grid", "weights", "match"])
        values[name] = _hostile_value(random)


def _places(node: Any) -> Any:
    """Yield every mapping or list in a value, with each of its keys."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in list(items):
        yield node, key
        yield from _places(value)


def _hostile_value(random: Random) -> Any:
    value = random.choice(
        [
            *(number(random), float(number(random) % 2**64), random.choice(HOSTILE_TEXTS), random.random(), math.inf),
            *(-math.inf, math.nan, 5e-324, 1e308, True, None, 10**400, b"\xff\xfe", [], {}),
        ]
    )
    if random.random() < 0.2:
        value = random.choice([[value], {"a": value}, [value] * 3])
    return value


def read(data: bytes, folder: Path) -> bool:
    """Merge a file over the shipped configuration, validate it, and plan the grid as the Snakefile does."""
    path = folder / OWN
    path.write_bytes(data)
    values = copy.deepcopy(base())
    try:
        update_config(values, load_configfile(path))
    except Exception as error:
        # not read by ENTR: Snakemake reports this itself
        raise EntrError(f"refused by Snakemake: {type(error).__name__}") from error
    config = validate_config(values, [path])
    settings = budget.within_budget(config, None)
    budget.describe(config, None)
    budget.configuration_digest(config)
    for dataset in settings.grid.datasets:
        settings.plans(dataset)
        settings.final_sizes(dataset)
        settings.model_card_data(dataset)
    settings.study()
    settings.downscaling()
    settings.timing()
    for entry in settings.datasets.values():
        entry.model_dump(mode="json")
        entry.origin()
    for section in (settings.download, settings.onnxruntime_web, settings.recommend, settings.crate):
        section.model_dump(mode="json")
    settings.without_local_paths()
    return True


def setup() -> None:
    # paths in a configuration are relative to the working directory
    os.environ["HOME"] = str(Path.cwd())


TARGET = Target(
    name="configurations",
    title="configuration files in YAML",
    make_corpus=make_corpus,
    damage=damage,
    read=read,
    setup=setup,
    inputs=8_000,
    quick_inputs=200,
    memory=2**28,
)
