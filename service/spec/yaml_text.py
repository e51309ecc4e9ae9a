"""Values as the spec files' restricted YAML: what the loader reads back as the same, and other programs do, too.

flow(value) -> str           `{addresses: [10.10.10.1/24], stp: false}`
scalar(value) -> str         one text, number or switch
key_text(key) -> str         a key of a mapping
"""

import json
import re

from service.model.states import Json

_PLAIN = re.compile(r"[A-Za-z0-9/][A-Za-z0-9_./+=@-]*(?: [A-Za-z0-9_./+=@-]+)*")
_OTHERWISE = re.compile(
    r"(?i:y|n|yes|no|on|off|true|false|null|~)|[-+]?[0-9][0-9_]*(?:\.[0-9]*)?(?:e[-+]?[0-9]+)?|0[xob][0-9a-f]+"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}.*"
)
"""What YAML 1.1 or 1.2 takes for something else than text."""


def scalar(value: Json) -> str:
    """One value; text in quotes where it could be taken for anything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = str(value).encode("utf-8", "replace").decode()
    if _PLAIN.fullmatch(text) and not _OTHERWISE.fullmatch(text):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def key_text(key: str) -> str:
    """A mapping's key: options are known by their number."""
    return key if re.fullmatch(r"[1-9][0-9]{0,4}", key) else scalar(key)


def flow(value: Json) -> str:
    """A value in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key_text(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    return scalar(value)
