"""The schema and the table of keys, both made from the configuration's models.

``python -m entr.reference`` writes them where they belong; a test holds them together.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from entr.config import Config, members
from entr.measures import Metrics

ROOT = Path(__file__).parents[3]
SCHEMAS = {"config": Config, "metrics": Metrics}
BEGIN, END = "<!-- keys: made by `make reference` -->\n", "<!-- end of keys -->\n"


def write() -> None:
    """Write the schemas and the table of keys of ``config/README.md``."""
    for name, model in SCHEMAS.items():
        _schema_file(name).write_text(schema(model), encoding="utf-8")
    readme = ROOT / "config" / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    readme.write_text(f"{before}{BEGIN}{keys()}{END}{after}", encoding="utf-8")


def _schema_file(name: str) -> Path:
    return ROOT / "workflow" / "schemas" / f"{name}.schema.json"


def schema(model: type[Config] | type[Metrics]) -> str:
    """Return a JSON schema, by which editors and other tools check a file."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps({**head, **model.model_json_schema()}, indent=2, ensure_ascii=False) + "\n"


def keys() -> str:
    """Return a Markdown table of every key with its type, default and meaning."""
    definitions = Config.model_json_schema()
    rows = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([*rows, *_rows(definitions, definitions, "")]) + "\n"


def _rows(node: Mapping[str, Any], schema: Mapping[str, Any], prefix: str) -> Iterator[str]:
    required = node.get("required", ())
    for name, field in node["properties"].items():
        key = f"{prefix}{name}"
        inner = _target(field, schema)
        default = "*required*" if name in required else _default(field)
        meaning = " ".join(field.get("description", "").split())
        if inner and "properties" in inner:
            yield from _rows(inner, schema, f"{key}.")
            continue
        yield f"| `{key}` | {_type(field)} | {default} | {meaning} |"
        below = _target(members(field), schema)
        if below and "properties" in below:
            yield from _rows(below, schema, f"{key}.<name>.")


def _target(field: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    reference = field.get("$ref")
    return schema["$defs"][reference.rsplit("/", 1)[-1]] if reference else None


def _default(field: Mapping[str, Any]) -> str:
    value = field.get("default")
    if value is None:
        return ""
    return "see below" if isinstance(value, dict) and value else f"`{json.dumps(value)}`"


def _type(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return " \\| ".join(f"`{value}`" for value in field["enum"])
    if "anyOf" in field:
        return " or ".join(_type(one) for one in field["anyOf"] if one.get("type") != "null")
    if field.get("type") == "array":
        inner = field["items"] if "items" in field else field["prefixItems"][0]
        return f"list of {_type(inner)}"
    if field.get("type") == "object":
        return "mapping"
    return {"string": "text", "integer": "whole number", "number": "number"}.get(field.get("type", ""), "")


if __name__ == "__main__":
    write()
