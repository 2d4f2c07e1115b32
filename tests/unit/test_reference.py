import json

import pytest
import yaml
from conftest import ROOT
from jsonschema import Draft202012Validator

from entr import reference


@pytest.mark.parametrize("name", reference.SCHEMAS)
def test_the_schema_is_that_of_the_model(name):
    stored = (ROOT / "workflow" / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8")
    assert stored == reference.schema(reference.SCHEMAS[name]), "run `make reference`"


def test_the_table_of_keys_is_that_of_the_model():
    assert reference.keys() in (ROOT / "config" / "README.md").read_text(encoding="utf-8"), "run `make reference`"


def test_every_key_has_a_meaning():
    rows = [row.split(" | ") for row in reference.keys().splitlines()[2:]]
    assert [row[0] for row in rows if row[-1].strip(" |") == ""] == []


def test_the_schema_accepts_the_shipped_configuration_and_refuses_a_typing_error():
    schema = json.loads(reference.schema(reference.SCHEMAS["config"]))
    values = {}
    for name in ("datasets", "paper"):
        values |= yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8"))
    validator = Draft202012Validator(schema)
    assert list(validator.iter_errors(values)) == []
    values["tarining"] = {}
    assert [error.validator for error in validator.iter_errors(values)] == ["additionalProperties"]
