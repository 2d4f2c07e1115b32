"""Keys and values of version 0.1.0 are rejected with their new names."""

import pytest
import yaml
from configurations import FILES, PAPER, merged

from entr.config.renamed_keys import REGIMES, RENAMED_KEYS, SOURCES
from entr.config.validation import validate_config
from entr.jobs.errors import EntrError

NAMES = {"datasets": "micrographs", "regimes": "gradual", "phases": "rpl"}


def named(pattern):
    """Replace each ``*`` of a pattern by a name of its section."""
    parts = pattern.split(".")
    return [NAMES.get(parts[place - 1], "sgdr") if part == "*" else part for place, part in enumerate(parts)]


def nested(keys, value):
    for key in reversed(keys):
        value = {key: value}
    return value


def error_of(*files, **changes):
    with pytest.raises(EntrError) as raised:
        validate_config(merged(*files, **changes), files)
    return str(raised.value)


@pytest.mark.parametrize("old", RENAMED_KEYS)
def test_renamed_key_of_a_file_is_rejected_with_its_new_name(tmp_path, old):
    mine = tmp_path / "mine.yaml"
    key, new = ".".join(named(old)), ".".join(named(RENAMED_KEYS[old]))
    for value in (1, None, {"steps": 8}):
        mine.write_text(yaml.safe_dump(nested(named(old), value)))
        assert error_of(*FILES, mine).endswith(f"mine.yaml: {key}: renamed in 0.2.0; use {new}")


@pytest.mark.parametrize("old", RENAMED_KEYS)
def test_renamed_key_of_the_command_line_is_rejected_with_its_new_name(old):
    key, new = ".".join(named(old)), ".".join(named(RENAMED_KEYS[old]))
    assert error_of(*FILES, **nested(named(old), 1)) == f"--config: {key}: renamed in 0.2.0; use {new}"


@pytest.mark.parametrize(("old", "new"), SOURCES.items())
def test_renamed_source_is_rejected_with_its_new_name(tmp_path, old, new):
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"datasets: {{mine: {{source: {old}, path: list.csv}}}}\n")
    expected = f"datasets.mine.source: {old} was renamed in 0.2.0; use {new}"
    assert error_of(*FILES, mine).endswith(f"mine.yaml: {expected}")
    assert error_of(*FILES, datasets={"mine": {"source": old}}) == f"--config: {expected}"


@pytest.mark.parametrize(("old", "new"), REGIMES.items())
def test_renamed_regime_is_rejected_with_its_new_name(tmp_path, old, new):
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"grid: {{regimes: [no-increase, {old}]}}\n")
    message = error_of(*FILES, PAPER, mine)
    assert message.endswith(f"mine.yaml: grid.regimes.1: {old} was renamed in 0.2.0; use {new}")
    assert error_of(*FILES, PAPER, control=old) == f"--config: control: {old} was renamed in 0.2.0; use {new}"


@pytest.mark.parametrize("name", REGIMES)
def test_own_regime_may_have_an_old_name(name):
    sizes = dict.fromkeys(("sgdr", "clrs", "cmult", "rpl", "tta"), 60)
    values = merged(*FILES, grid={"regimes": ["no-increase", name]}, regimes={name: sizes})
    assert validate_config(values).grid.regimes == ("no-increase", name)


@pytest.mark.parametrize("values", [{"control": ["blur"]}, {"grid": {"regimes": [["body"]]}}, {"regimes": None}])
def test_values_of_the_wrong_type_are_left_to_the_schema(values):
    assert "renamed" not in error_of(*FILES, **values)
