"""Metrics: one value each from the files a member left behind."""

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ensemake.config.schema import Metric


def read_metrics(
    directory: Path, metrics: Mapping[str, Metric]
) -> tuple[dict[str, Any], list[str]]:
    """Read all metrics of a member.

    Returns
    -------
    values, faults
        The values found, by name, and a line for each that was not.
    """
    values: dict[str, Any] = {}
    faults = []
    for name, metric in metrics.items():
        try:
            values[name] = _read(directory / metric.file, metric)
        except FileNotFoundError:
            faults.append(f"metric {name}: no file {metric.file}")
        except (OSError, ValueError) as error:
            faults.append(f"metric {name}: {metric.file}: {error}")
    return values, faults


def _read(path: Path, metric: Metric) -> Any:
    text = path.read_text(encoding="utf-8", errors="replace")
    if metric.key is not None:
        return _from_json(text, metric.key)
    if metric.regex is not None:
        return _from_text(text, metric.regex)
    return _from_csv(text, str(metric.column), metric.row)


def _from_json(text: str, key: str) -> Any:
    value = json.loads(text)
    if isinstance(value, dict) and key in value:  # a key that holds dots
        return _single(value[key], key)
    for part in key.split("."):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, TypeError, ValueError):
            raise ValueError(f"no key {key!r}") from None
    return _single(value, key)


def _single(value: Any, key: str) -> Any:
    if isinstance(value, dict | list):
        raise ValueError(f"{key!r} is not a single value")
    return value


def _from_text(text: str, regex: str) -> str:
    found = list(re.finditer(regex, text, re.MULTILINE))
    if not found:
        raise ValueError(f"nothing matches {regex!r}")
    return found[-1][found[-1].re.groups and 1]


def _from_csv(text: str, column: str, row: int) -> str:
    rows = list(csv.DictReader(text.splitlines(keepends=True)))
    try:
        value = rows[row][column]
    except IndexError:
        raise ValueError(f"no row {row}, it has {len(rows)}") from None
    except KeyError:
        raise ValueError(f"no column {column!r}, it has {', '.join(rows[0])}") from None
    return value or ""
