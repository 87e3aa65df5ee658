"""A config as YAML that reads back as the same config: no trap of YAML's is left unquoted."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*")
FLAT = (str, int, float, bool, type(None))


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    node = dumper.represent_str(text)
    if node.value and not PLAIN.fullmatch(text):
        node.style = "'" if text.isprintable() else '"'
    return node


def _list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.Node:
    is_flat = all(isinstance(item, FLAT) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=is_flat)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)


def config_text(data: Mapping[str, Any], comment: str) -> str:
    """Return a config as YAML below a comment."""
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    text = yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return head + text
