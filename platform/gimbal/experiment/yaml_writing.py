"""Settings as YAML that reads back to the same settings, here and in other YAML readers.

A text is quoted where our rules or the older YAML 1.1 rules would read it as something else, so
`config.yaml` means the same to every tool.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import BaseModel

from gimbal.experiment.plain import to_plain
from gimbal.experiment.yaml_scalars import read_scalar

_INTERPOLATION = re.compile(r"(\\*)\$\{")
_ODD_LINE_END = re.compile("[\r\x85\u2028\u2029]")
_STR_TAG = "tag:yaml.org,2002:str"


class _Dumper(yaml.SafeDumper):
    """Never writes aliases, and quotes what either set of rules would misread."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        del indentless
        super().increase_indent(flow, False)


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None
    if _ODD_LINE_END.search(text):
        style = '"'  # within other quotes a reader would fold it into a space
    elif not isinstance(read_scalar(text), str):
        style = "'"
    return dumper.represent_scalar(_STR_TAG, text, style=style)


_Dumper.add_representer(str, _represent_text)


def dump_yaml(config: BaseModel | Mapping[str, Any]) -> str:
    """Return the settings as YAML; reading it gives equal settings.

    Raises:
        TypeError: If a setting has no plain form.
    """
    return yaml.dump(
        _escaped(to_plain(config)),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=100,
    )


def _escaped(value: Any) -> Any:
    """Protect a plain `${` from being read as a reference to another key."""
    if isinstance(value, str):
        return _INTERPOLATION.sub(lambda found: f"{found[1]}{found[1]}\\${{", value)
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return value
