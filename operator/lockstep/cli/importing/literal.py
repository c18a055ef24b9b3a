"""YAML in which SQL reads as SQL: texts as literal blocks, byte for byte what they were when they are read again."""

import re
from typing import Any, Final

import yaml

_BLOCK: Final = re.compile("[\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]+")
"""What a literal block keeps in YAML 1.1 and 1.2: LF alone ends lines, no byte order mark, nothing unprintable."""
_PLAIN: Final = re.compile(r"[A-Za-z][\w./-]+(?: [\w./-]+)*", re.ASCII)
"""What no version of YAML takes for anything but words, but for those that PyYAML knows itself."""


class Sql(str):
    """A text that is written as a block."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Writes strings in the style that their representer has chosen for them."""

    def analyze_scalar(self, scalar: str) -> Any:
        analysis = super().analyze_scalar(scalar)
        # It forbids blocks in which lines end with blanks, for the sake of editors.
        analysis.allow_block = True
        return analysis

    def determine_block_hints(self, text: str) -> str:
        hints: str = super().determine_block_hints(text)
        # libyaml, and with it Kubernetes, takes a tab there for an indentation that is wrong.
        return f"{self.best_indent}{hints}" if text.startswith("\t") else hints


def _words(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # What looks like a number or a date to somebody is quoted: 0008 is a string to PyYAML alone.
    style = None if _PLAIN.fullmatch(text) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


def _sql(dumper: _Dumper, text: Sql) -> yaml.ScalarNode:
    style = "|" if _BLOCK.fullmatch(text) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style)


_Dumper.add_representer(str, _words)
_Dumper.add_representer(Sql, _sql)


def written(document: dict[str, Any]) -> str:
    """Return one document, which begins with `---`."""
    made: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, explicit_start=True)
    return made
