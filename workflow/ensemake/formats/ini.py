"""INI files, and others of lines ``key = value``: values are replaced where they stand."""

import re
from typing import Any

from ensemake.formats.keys import Keys

SECTION = re.compile(r"\s*\[([^\]\n]+)\]")
OPTION = re.compile(
    r"(?P<key>[^\s#;\[=:!][^=:\n]*?)[ \t]*[=:][ \t]*"
    r"(?P<value>[^\n]*?)(?=[ \t]*(?:[ \t][#;][^\n]*)?$)",
    re.MULTILINE,
)
TRUTHS = (("True", "False"), ("yes", "no"), ("on", "off"), ("Yes", "No"), ("On", "Off"))


class IniText:
    """A text whose values are replaced one after another; keys above all sections have none."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._read()

    def _read(self) -> None:
        self.data: dict[str, Any] = {}
        self._spans: dict[Keys, tuple[int, int]] = {}
        self._ends: dict[str, int] = {"": 0}
        section, place, last = "", 0, ""
        for line in self.text.splitlines(keepends=True):
            head = SECTION.match(line)
            option = OPTION.match(line.lstrip())
            indent = len(line) - len(line.lstrip())
            if head:
                section, last = head[1].strip(), ""
                self.data.setdefault(section, {})
            elif option and not (indent and last):
                way = (section, option["key"]) if section else (option["key"],)
                self._holder(section)[option["key"]] = option["value"]
                begin = place + indent + option.start("value")
                self._spans[way] = (begin, begin + len(option["value"]))
                last = option["key"] if not indent else ""
            elif indent and last and line.strip() and line.strip()[0] not in "#;":
                self._holder(section)[last] += "\n" + line.strip()  # goes on from the line before
            place += len(line)
            if line.strip():
                self._ends[section] = place

    def _holder(self, section: str) -> dict[str, Any]:
        holder: dict[str, Any] = self.data[section] if section else self.data
        return holder

    def set(self, way: Keys, value: Any) -> None:
        """Replace a value."""
        if way not in self._spans:
            raise ValueError("is a section, not a value")
        begin, end = self._spans[way]
        lead = " " if begin == end and self.text[begin - 1 : begin] == "=" else ""
        self._replace(begin, end, lead + written(value, self.text[begin:end]))

    def create(self, key: str, value: Any) -> None:
        """Put in a key that is not there, at the end of its section."""
        names = [name for name in self.data if isinstance(self.data[name], dict)]
        fitting = [name for name in names if key.startswith(f"{name}.")]
        section = max(fitting, key=len, default=key.rpartition(".")[0])
        option = key.removeprefix(f"{section}.")
        line = f"{option} = {written(value, '')}\n"
        if section and section not in self.data:
            end = len(self.text)
            line = f"\n[{section}]\n{line}"
        else:
            end = self._ends[section]
        lead = "\n" if end and self.text[end - 1] != "\n" else ""
        self._replace(end, end, lead + line)

    def _replace(self, begin: int, end: int, word: str) -> None:
        self.text = self.text[:begin] + word + self.text[end:]
        self._read()


def written(value: Any, old: str) -> str:
    """Return a value as text; true and false in the words that stood there."""
    if isinstance(value, list):
        return ", ".join(written(one, "") for one in value)
    if isinstance(value, bool):
        words = next((pair for pair in TRUTHS if old in pair), ("true", "false"))
        return words[0 if value else 1]
    if "\n" in str(value):
        raise ValueError("cannot have a value of several lines")
    return str(value)
