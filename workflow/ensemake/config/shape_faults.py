"""Pydantic's errors in the user's words: what was expected, what is there, what to write."""

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ensemake.config.container import Container
from ensemake.config.faults import KeyPath, Problem, did_you_mean
from ensemake.config.inputs import Input
from ensemake.config.metric import Metric, Series
from ensemake.config.run import Check, Restart, RunSettings
from ensemake.config.scalars import keys_of
from ensemake.config.schema import Config, Ensemble, Files, Model

EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "tuple_type": "text, or a list of two (open, close)",
    "none_required": "nothing",
}
NAME = "letters, digits and . _ - (no . or - first)"
ENV_NAME = "letters, digits and _ (no digit first)"

# What to write in place of something that is no mapping.
EXAMPLES: dict[type[BaseModel], str] = {
    Metric: "{file: out.json, key: loss}",
    Series: "{file: log.csv, column: loss}",
    Model: "{run_settings: {exe: echo}}",
    Ensemble: "{params: {x: [1, 2]}, run_settings: {exe: echo}}",
    RunSettings: "{exe: echo}",
    Restart: "{from: state.cpt, exe_args: [--restart, state.cpt]}",
    Check: "{file: run.out, regex: JOB DONE}",
    Container: "{image: image.sif}",
    Files: "{to_copy: [FILE]}",
    Input: "{files: [FILE]}",
}


def shape_problems(error: ValidationError, data: Any) -> Iterator[Problem]:
    """Yield each fault of a config's keys and types; data is the config as it was parsed."""
    wrong_types: dict[KeyPath, tuple[list[str], Any]] = {}
    given = set()  # mappings of which something within is wrong: it need not be something else
    told = set()
    for item in error.errors():
        path = _real_path(item["loc"], data)
        if item["type"] in EXPECTED:
            wrong_types.setdefault(path, ([], item["input"]))[0].append(EXPECTED[item["type"]])
        else:
            given |= {path[:depth] for depth in range(len(path) + 1)}
            told.add(path)
            yield path, _message(path, dict(item))
    given |= {path[:depth] for path in wrong_types for depth in range(len(path))}
    for path, (expected, value) in wrong_types.items():
        # what is wrong with a text says more than that it could be a number
        if path not in told and not (path in given and isinstance(value, dict)):
            yield path, _wrong_type(path, list(dict.fromkeys(expected)), value)


def _real_path(loc: Iterable[int | str], data: Any) -> KeyPath:
    """Cut pydantic's own labels (union members, validators) off a location."""
    path: KeyPath = ()
    for part in loc:
        if isinstance(data, str):  # one of a list of one
            continue
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            continue
        path = (*path, part)
    return path


# ---- wrong types ----


def _wrong_type(path: KeyPath, expected: list[str], value: Any) -> str:
    wanted = [text for text in expected if text != "nothing"]
    if len(wanted) > 1:  # {raw: TEXT} and its like are for those who know
        wanted = [text for text in wanted if text != EXPECTED["model_type"]]
    if "a number" in wanted:
        wanted = [text for text in wanted if text != "a whole number"]
    remedy = _instead(path, wanted, value)
    return (
        f"expected {' or '.join(wanted)}, got {value_text(value)}{'; ' if remedy else ''}{remedy}"
    )


def _instead(path: KeyPath, wanted: list[str], value: Any) -> str:
    """Say what to write, where a guess is likely to be right."""
    if not path:
        return "begin with experiment: NAME"
    if wanted == ["a list"] and isinstance(value, str | int | float):
        return f"write {path[-1]}: {json.dumps(_as_list(path, value))}"
    if "text" in wanted and isinstance(value, str | int | float):
        return f"quote it: '{_yaml(value)}'"
    if wanted == ["a whole number"] and isinstance(value, str) and value.isdecimal():
        return f"write it without quotes: {value}"
    if wanted == ["a mapping (key: value)"]:
        return _mapping_instead(path, value)
    return ""


def _as_list(path: KeyPath, value: Any) -> list[Any]:
    if path[-1] != "exe_args" or not isinstance(value, str):
        return [value]
    try:
        return shlex.split(value)
    except ValueError:
        return [value]


def _mapping_instead(path: KeyPath, value: Any) -> str:
    glued = re.fullmatch(r"(\w+):(\S+)", value) if isinstance(value, str) else None
    if glued:
        return f"put a blank after the colon: {glued[1]}: {glued[2]}"
    example = EXAMPLES.get(section_at(path)) if len(path) > 1 else None
    place = "" if isinstance(path[-1], int) else f"{path[-1]}: "
    return f"write {place}{example}" if example else ""


# ---- everything else ----


def _message(path: KeyPath, item: dict[str, Any]) -> str:
    context = item.get("ctx", {})
    match item["type"]:
        case "missing" if isinstance(item["loc"][-1], str):
            return _missing(path, item["loc"][-1])
        case "extra_forbidden":
            return _unknown_key(path)
        case "string_pattern_mismatch":
            return _bad_name(str(item["input"]), str(context["pattern"]))
        case "literal_error":
            wanted = str(context["expected"]).replace("'", "").replace(" or ", ", ")
            near = did_you_mean(str(item["input"]), wanted.split(", "))
            return f"expected one of {wanted}, got {value_text(item['input'])}{near}"
        case "greater_than_equal":
            return f"must be {context['ge']} or more, got {value_text(item['input'])}"
        case "string_too_short":
            return "must not be empty"
        case "too_long" | "missing":
            return f"expected {EXPECTED['tuple_type']}, got {value_text(item['input'])}"
        case "value_error":
            return str(context["error"])
    return f"{item['msg'][0].lower()}{item['msg'][1:]}, got {value_text(item['input'])}"


def _missing(path: KeyPath, key: str) -> str:
    field = keys_of(section_at(path))[key]
    about = (field.description or "").split(";")[0]
    example = f"; write for example {key}: {field.examples[0]}" if field.examples else ""
    return f"the key {key!r} is missing ({about}){example}"


def _unknown_key(path: KeyPath) -> str:
    key, section = str(path[-1]), section_at(path[:-1])
    if path[0] == "models" and key in Ensemble.model_fields:
        return "is for ensembles; move the model to ensembles, or leave it out"
    homes = [name for name, other in sections(Config) if key in keys_of(other)]
    near = did_you_mean(key, keys_of(section))
    if homes and (not near or len(homes) == 1):
        return f"unknown key here; it belongs into {homes[0]}"
    return f"unknown key{near or '; known are ' + ', '.join(keys_of(section))}"


def _bad_name(name: str, pattern: str) -> str:
    if r"\r\n" in pattern:
        return "a delimiter of tags is some text within a line, such as ';'"
    allowed, kept = (NAME, r"[^A-Za-z0-9._-]+") if "-" in pattern[-5:] else (ENV_NAME, r"\W+")
    better = re.sub(kept, "_", name, flags=re.ASCII).lstrip(".-")
    remedy = f"; write {better!r}" if re.fullmatch(pattern, better) else ""
    return f"{name!r} cannot be a name: use only {allowed}{remedy}"


# ---- which section a key belongs to ----


def section_at(path: KeyPath) -> type[BaseModel]:
    """Return the class of the section at a key path."""
    section: type[BaseModel] = Config
    for depth, part in enumerate(path):
        field = keys_of(section).get(str(part))
        if field is not None and depth != 1:  # depth 1 is the name of a model or an ensemble
            section = _section_in(field.annotation) or section
    return section


def _section_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_section_in(argument) for argument in get_args(annotation))
    return next((section for section in inner if section), None)


def sections(section: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield (key, section) of all sections below one, the outer ones first."""
    inner = [(key, _section_in(field.annotation)) for key, field in keys_of(section).items()]
    found = [(key, below) for key, below in inner if below]
    yield from found
    for _, below in found:
        yield from sections(below)


def value_text(value: Any) -> str:
    """Write a value as the config has it, cut to 40 characters."""
    if value is None:
        return "nothing"
    kinds = ((dict, "a mapping "), (list | tuple, "the list "))
    kind = next((word for types, word in kinds if isinstance(value, types)), "")
    text = json.dumps(value, default=str, ensure_ascii=False) if kind else _shown(value)
    return kind + (text if len(text) <= 40 else text[:37] + "...")


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else _yaml(value)


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
