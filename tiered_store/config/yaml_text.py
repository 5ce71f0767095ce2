"""
Plain values to YAML that this package's own reader reads back as they are.
"""

from __future__ import annotations

from typing import Any

import yaml

from tiered_store.config.composer import resolved


def dumped(value: object) -> str:
    """Return *value* as YAML, keys in their order."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=88
    )
    return text


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True  # what is shared has a name


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # PyYAML knows the numbers of YAML 1.1 and quotes only texts that look like those
    style = None if resolved(text) == text else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
