"""Validation of the configuration: cross-field checks, and one-line errors that name file and key."""

import difflib
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from entr.config import model_names
from entr.config.base import FrozenModel
from entr.config.regimes import RAMP, TTA, Regime
from entr.config.renamed_keys import Key, renamed_settings
from entr.config.schema import MAX_SEEDS, Config
from entr.config.training import Augmentation, Training
from entr.config.training_plan import Plan
from entr.jobs.errors import EntrError, shown

SMALLEST_SIZE = 8
"""Smallest image size in px that `scale` may lead to: with less, a network that halves images five times sees 1 px."""
MOST_NAMES = 40
"""Maximum number of names that a message lists."""
MAX_INTEGER = 2**63 - 1
"""Largest integer of other programs, such as NumPy and torch."""
MOST_VALUES, MOST_LEVELS = 100_000, 50
"""Maximum number of values in a configuration, and of mappings and lists in each other. A short file can have more if
it repeats a value by aliases of YAML, or contains itself."""


def validate_config(values: Mapping[str, Any], files: Iterable[str | Path] = ()) -> Config:
    """Validate a whole configuration.

    Parameters
    ----------
    values : mapping
        The merged configuration.
    files : iterable of path
        The files it was read from, each overriding the previous ones.

    Raises
    ------
    EntrError
        One line with the file and key, the problem, and the remedy.
    """
    files = list(files)
    _reject_extremes(values, files)
    for key, problem in renamed_settings(values):
        raise _error(_location(key, values, files), problem)
    values = _with_number_of_seeds(_with_own_images(values))
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        detail = error.errors()[0]
        raise _error(_location(detail["loc"], values, files), _describe(detail, Config)) from error
    for key, problem in _cross_field_errors(config):
        raise _error(_location(key, values, files), problem)
    return config


def _error(location: str, problem: str) -> EntrError:
    # names and messages may contain line breaks of the user
    return EntrError(" ".join(f"{location}: {problem}".split()))


def _reject_extremes(values: Mapping[str, Any], files: Sequence[str | Path]) -> None:
    """Raise an error if there are too many values, before anything visits all of them, or too large integers."""
    for key, value in values.items():
        if _is_too_large(value):
            own = (file for file in reversed(files) if _is_too_large(_value_at(_read(file), (key,))))
            raise _error(
                f"{next(map(os.path.relpath, own), '--config')}: {shown(key, str)}",
                f"has more than {MOST_VALUES} values or {MOST_LEVELS} levels; remove values, or aliases (*name)",
            )
        for path, node in _descendants(value):
            if isinstance(node, int) and abs(node) > MAX_INTEGER:
                raise _error(_location((key, *path), values, files), "has more than 64 bits; give a smaller number")


def _is_too_large(value: Any) -> bool:  # noqa: ANN401  a value of YAML
    return any(number > MOST_VALUES or len(path) >= MOST_LEVELS for number, (path, _) in enumerate(_descendants(value)))


def _descendants(value: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:  # noqa: ANN401  a value of YAML
    """Yield a value and all values in it, with their keys and positions, endlessly if it contains itself."""
    remaining: list[tuple[tuple[Any, ...], Any]] = [((), value)]
    while remaining:
        path, node = remaining.pop()
        yield path, node
        remaining.extend(((*path, part), child) for part, child in _children(node))


def _children(node: Any) -> Sequence[tuple[Any, Any]]:  # noqa: ANN401  a value of YAML
    """Return the values in a mapping or list with their keys or positions."""
    if isinstance(node, Mapping):
        return list(node.items())
    return list(enumerate(node)) if isinstance(node, list | tuple) else []


def _with_own_images(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Make the folder of `images` the only dataset of the grid, if there is one."""
    images = values.get("images")
    images = {"folder": images} if isinstance(images, str) else images
    if not isinstance(images, Mapping) or not isinstance(images.get("folder"), str):
        return values
    try:
        folder = Path(os.path.expanduser(images["folder"]))  # noqa: PTH111  Path.expanduser fails for unknown users
        title = folder.resolve().name
    except (OSError, ValueError):
        return {**values, "images": images}
    ascii_title = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", ascii_title).strip("-") or "images"
    datasets, grid = (values.get(key) or {} for key in ("datasets", "grid"))
    if not isinstance(datasets, Mapping) or not isinstance(grid, Mapping):
        return values
    name = f"own-{name}" if name in datasets else name
    return {
        **values,
        "images": images,
        "datasets": {**datasets, name: {"source": "folder", "path": str(folder), "title": title}},
        "grid": {**grid, "datasets": [name]},
    }


def _with_number_of_seeds(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values with seeds numbered from 0, if `seeds` states how many there are."""
    seeds, grid = values.get("seeds"), values.get("grid") or {}
    if not isinstance(seeds, int) or not 1 <= seeds <= MAX_SEEDS or not isinstance(grid, Mapping):
        return values
    return {**values, "grid": {**grid, "seeds": list(range(seeds))}}


def _cross_field_errors(config: Config) -> Iterator[tuple[Key, str]]:
    """Yield the key and description of errors that no single field can detect.

    Only the first one is reported; later checks may fail if earlier ones have.
    """
    if config.images.folder and config.archive is None and not _is(Path.is_dir, config.images.folder):
        yield (
            ("images",),
            f"the folder {shown(config.images.folder)} does not exist; give one that has a subfolder per class",
        )
    if config.archive is not None and not _is(Path.is_dir, config.archive):
        yield ("archive",), f"the folder {shown(config.archive)} does not exist; give the folder of an archived run"
    for key, folder in (("before", config.before), ("after", config.after)):
        if config.before is not None and folder is not None and not _is(Path.is_dir, folder):
            yield (key,), f"the folder {shown(folder)} does not exist; give the folder results of a finished run"
    if (protocol := config.paper.protocol) is not None and not _is(Path.is_file, protocol):
        yield ("paper", "protocol"), f"the file {shown(protocol)} does not exist; give a Markdown file, or omit the key"
    if config.archive is not None and config.hours is not None:
        yield ("hours",), "no grid is chosen for an archived run; omit hours or archive"
    for name in config.grid.datasets:
        if name not in config.datasets:
            yield ("grid", "datasets"), _unknown("dataset", name, config.datasets)
    for name in config.grid.regimes:
        if name not in config.regimes:
            yield ("grid", "regimes"), _unknown("regime", name, config.regimes)
    yield from _model_errors(config)
    yield from _phase_errors(config)
    if config.control not in config.grid.regimes:
        yield ("control",), f"{config.control!r} is not in grid.regimes; add it there or choose another control"
    for dataset in config.grid.datasets:
        yield from _dataset_errors(config, dataset)
        for regime in config.grid.regimes:
            yield from _regime_errors(config, dataset, regime)
    if (smallest := config.sizes()[0]) < SMALLEST_SIZE and config.scale < 1:
        yield ("scale",), f"images would be as small as {smallest} px; raise scale so that all have {SMALLEST_SIZE} px"


def _is(kind: Callable[[Path], bool], path: str) -> bool:
    """Tell whether a path is of a kind; one that no file can have is of none."""
    try:
        return kind(Path(path))
    except (OSError, ValueError):
        return False


def _model_errors(config: Config) -> Iterator[tuple[Key, str]]:
    known = model_names.model_names()
    for position, model in enumerate(config.grid.models):
        if known and model.partition(".")[0] not in known:
            yield ("grid", "models", position), _unknown("model of torchvision or timm", model, known)
        file = config.weights_file(model)
        if file is not None and config.archive is None and not _is(Path.is_file, file):
            problem = f"the file {shown(file)} with the weights of {model} does not exist"
            yield ("weights",), f"{problem}; correct it, or use imagenet or none"
    for model in config.weights_sha256:
        if model not in config.grid.models:
            yield ("weights_sha256", model), _unknown("model", model, config.grid.models)


def _phase_errors(config: Config) -> Iterator[tuple[Key, str]]:
    """Yield unknown phases: those that are neither in a schedule nor in the paper. Their settings would be ignored."""
    sections: dict[Key, Mapping[str, Any]] = {
        ("training",): {"phases": config.training.phases, "schedule": config.training.schedule},
        **{("datasets", name, "training"): dataset.training for name, dataset in config.datasets.items()},
        **{("regimes", name, "training"): regime.training for name, regime in config.regimes.items()},
    }
    schedules = [settings.get("schedule") for settings in sections.values()]
    scheduled = [name for schedule in schedules if isinstance(schedule, list | tuple) for name in schedule]
    known = {*Training().phases, *map(str, scheduled)}
    for section, settings in sections.items():
        phases = settings.get("phases")
        for name in phases if isinstance(phases, Mapping) else ():
            if name not in known:
                yield (*section, "phases", name), _unknown("phase", name, known)


def _dataset_errors(config: Config, dataset: str) -> Iterator[tuple[Key, str]]:
    """Yield errors in the common training settings and in those of a dataset."""
    own: Key = ("datasets", dataset, "training")
    try:
        training = config.training_of(dataset)
    except ValidationError as error:
        yield _training_error(error, own)
    else:
        yield from _schedule_errors(config, training, own if config.datasets[dataset].training else ("training",))


def _regime_errors(config: Config, dataset: str, regime: str) -> Iterator[tuple[Key, str]]:
    """Yield errors in a regime's image sizes and training settings."""
    own: Key = ("regimes", regime, "training")
    try:
        training = config.training_of(dataset, regime)
    except ValidationError as error:
        yield _training_error(error, own)
    else:
        if config.regimes[regime].training:
            yield from _schedule_errors(config, training, own)
        yield from _size_errors(config, training, regime)


def _training_error(error: ValidationError, section: Key) -> tuple[Key, str]:
    detail = error.errors()[0]
    return (*section, *map(str, detail["loc"])), _describe(detail, Training)


def _schedule_errors(config: Config, training: Training, section: Key) -> Iterator[tuple[Key, str]]:
    largest = config.images.max_side
    for name in training.schedule:
        if name not in training.phases:
            yield (*section, "schedule"), _unknown("phase", name, training.phases)
        try:
            training.augmentation_in(name)
        except ValidationError as error:
            detail = error.errors()[0]
            key = (*section, "phases", name, "augmentation", *map(str, detail["loc"]))
            yield key, _describe(detail, Augmentation)
    if training.subtotal_after not in training.schedule:
        yield (*section, "subtotal_after"), _unknown("phase", training.subtotal_after, training.schedule)
    if training.full_size > largest:
        yield (*section, "full_size"), _too_large(training.full_size, largest)


def _size_errors(config: Config, training: Training, name: str) -> Iterator[tuple[Key, str]]:
    regime, largest = config.regimes[name], config.images.max_side
    needed, sizes = [*([RAMP] if regime.ramp else training.schedule), TTA], regime.all_sizes()
    for phase in needed:
        if phase not in sizes:
            yield ("regimes", name), f"has no size for the phase {phase!r}; give each of {', '.join(needed)} a size"
        if max(sizes[phase]) > largest:
            yield ("regimes", name, phase), _too_large(max(sizes[phase]), largest)
    known = [*training.phases, TTA, RAMP]
    for phase in sizes:
        if regime.ramp and phase in training.phases:
            yield ("regimes", name, phase), "the image size follows the ramp; omit the size of the phase, or the ramp"
        if phase not in known:
            yield ("regimes", name, phase), _unknown("phase", phase, [*known, *Regime.model_fields])
    if len(sizes[TTA]) > 1:
        yield ("regimes", name, TTA), "test-time augmentation has only one size; give one number"
    if regime.ramp and regime.upsample_to:
        yield ("regimes", name, "upsample_to"), "cannot be combined with a ramp; omit one of them"
    try:
        phases = Plan.of(training, regime, pretrained=True).phases
    except ValueError as error:
        yield ("regimes", name), str(error)
    else:
        if regime.upsample_to and regime.upsample_to < max(size for phase in phases for size in phase.sizes):
            problem = f"{regime.upsample_to} px is less than the size of a phase; raise it, or omit this key"
            yield ("regimes", name, "upsample_to"), problem


def _too_large(size: int, largest: int) -> str:
    return f"{size} px is more than images.max_side, {largest} px; lower it or raise images.max_side"


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"unknown {kind} {shown(name)}; did you mean {close[0]!r}?"
    return f"unknown {kind} {shown(name)}; known are {', '.join(known[:MOST_NAMES])}" + (
        " …" if len(known) > MOST_NAMES else ""
    )


def _describe(detail: ErrorDetails, model: type[FrozenModel]) -> str:
    """Describe an error of pydantic in one sentence."""
    if detail["type"] == "extra_forbidden":
        *parents, name = detail["loc"]
        return _unknown("key", shown(name, str), _keys(model, parents))
    if detail["type"] == "missing":
        return "is missing; add this key"
    if detail["type"] == "value_error":
        return shown(detail["ctx"]["error"], str)
    return f"{detail['msg'].replace('Input', 'the value', 1)}, but it is {shown(detail['input'])}"


def _keys(model: type[FrozenModel], parents: Iterable[str | int]) -> list[str]:
    """Return the known keys of the section at a path."""
    schema = model.model_json_schema()
    node: Mapping[str, Any] = schema
    for parent in parents:
        node = node.get("properties", {}).get(parent) or members(node)
        alternatives = [node, *node.get("allOf", ()), *node.get("anyOf", ())]
        reference = next((one["$ref"] for one in alternatives if "$ref" in one), None)
        node = schema["$defs"][reference.rsplit("/", 1)[-1]] if reference else node
    return list(node.get("properties", {}))


def members(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the JSON schema of the members of a mapping."""
    patterns = node.get("patternProperties", {}).values()
    additional = node.get("additionalProperties", {})
    return next(iter(patterns), additional if isinstance(additional, Mapping) else {})


def _location(key: Key, values: Mapping[str, Any], files: Sequence[str | Path]) -> str:
    """Return the name of a key, preceded by the file that sets it, or by ``--config``."""
    name = ".".join(shown(part, str) for part in key)
    value = _value_at(values, key)
    for file in reversed(files):
        own = _read(file)
        is_set = value is not None or _value_at(own, key[:-1]) is not None
        own_value = _value_at(own, key)
        if is_set and (own_value == value or shown(own_value) == shown(value) == "nan"):
            return f"{os.path.relpath(file)}: {name}"
    return f"--config: {name}"


def _read(file: str | Path) -> Any:  # noqa: ANN401  a value of YAML
    """Return the content of a file, or None if it is YAML that only the loader of Snakemake reads."""
    try:
        return yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def _value_at(node: Any, key: Key) -> Any:  # noqa: ANN401  a value of YAML
    """Return the value at a path of keys, or None if there is none."""
    for part in key:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return None
    return node
