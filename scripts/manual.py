"""Rewrite what is made from the config's models: tables of the manual, config/schema.json."""

import argparse
import json
import re
from pathlib import Path
from typing import Any

from ensemake.config.inputs import Choice
from ensemake.config.schema import Config, schema
from ensemake.config.shape_faults import sections
from ensemake.member.state import MEANING

FOLDER = Path(__file__).parent.parent / "config"
MARKS = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "array": "list",
    "object": "mapping",
}


def schema_text() -> str:
    """Return the JSON schema as it is stored."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def with_tables(manual: str) -> str:
    """Return the manual with every table between its marks made anew."""
    return MARKS.sub(lambda mark: mark[1] + _table(mark[2]) + mark[3], manual)


def _table(name: str) -> str:
    if name == "State":
        return _lines("State | Meaning", [f"{state} | {text}" for state, text in MEANING.items()])
    whole = schema()
    whole["$defs"]["Choice"] = Choice.model_json_schema()  # params are read by hand
    found = {section.__name__: section for _, section in sections(Config)} | {"Config": Config}
    definition = whole if name == "Config" else whole["$defs"][name]
    keys = definition["properties"]
    if name == "Ensemble":  # the rest is that of Model
        base = found["Model"].model_fields
        keys = {key: value for key, value in keys.items() if key not in base or key == "params"}
    rows = [_row(key, value, key in definition.get("required", [])) for key, value in keys.items()]
    return _lines("Key | Type | Default | What", rows)


def _lines(head: str, rows: list[str]) -> str:
    rule = "|".join("---" for _ in head.split("|"))
    return "".join(
        f"{line}\n" for line in [f"| {head} |", f"|{rule}|", *(f"| {r} |" for r in rows)]
    )


def _row(key: str, prop: dict[str, Any], required: bool) -> str:
    default = "**required**" if required else _default(prop.get("default"))
    cells = [f"`{key}`", _type(prop), default, prop["description"]]
    return " | ".join(cell.replace("|", "\\|") for cell in cells)


def _default(value: Any) -> str:
    if value in (None, [], {}):
        return "none"
    return "see below" if isinstance(value, dict) else f"`{json.dumps(value)}`"


def _type(prop: dict[str, Any]) -> str:
    """Write a type of JSON schema in words."""
    if "anyOf" in prop:
        kinds = [_type(option) for option in prop["anyOf"] if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in prop:
        return " or ".join(f"`{value}`" for value in prop["enum"])
    if "$ref" in prop:
        return "mapping"
    inner = prop.get("items") or prop.get("additionalProperties") or _pattern(prop)
    word = WORDS[prop["type"]]
    return f"{word} of {_plural(inner)}" if isinstance(inner, dict) and inner else word


def _pattern(prop: dict[str, Any]) -> Any:
    return next(iter(prop.get("patternProperties", {}).values()), None)


def _plural(prop: dict[str, Any]) -> str:
    words = {"whole number": "whole numbers", "number": "numbers", "mapping": "mappings"}
    kinds = _type(prop).split(" or ")
    kinds = [kind for kind in kinds if not (kind == "whole number" and "number" in kinds)]
    return " or ".join(words.get(kind, kind) for kind in kinds)


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    for page in ("README.md", "store.md"):
        manual = FOLDER / page
        manual.write_text(with_tables(manual.read_text(encoding="utf-8")), encoding="utf-8")
    (FOLDER / "schema.json").write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
