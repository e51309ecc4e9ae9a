"""Tags of dnsmasq. Their names mean nothing: two files that call one tag differently say the same (dnsmasq(8)).

without_tag_names(pairs) -> [(key, value)]
"""

from collections.abc import Mapping, Sequence

from service.formats.dnsmasq_values import is_ipv4


def without_tag_names(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """(key, value) pairs in which a tag that one range sets is named after that range's first address, because the name
    of a tag means nothing. It is left out if no other line uses it, or if only options do and there is one range.
    """
    ranges = [(_tag_of(value), value) for key, value in pairs if key == "dhcp-range"]
    tags = [tag for tag, _ in ranges if tag]
    names = {
        tag: next((part.strip() for part in value.split(",") if is_ipv4(part.strip())), "")
        for tag, value in ranges
        if tag and tags.count(tag) == 1
    }
    asked = {part.strip()[4:] for key, value in pairs if key != "dhcp-range" for part in value.split(",")}
    alone = _lone_tag(pairs)
    if alone:
        others = (value for key, value in pairs if key not in ("dhcp-range", "dhcp-option"))
        asked = {part.strip()[4:] for value in others for part in value.split(",")}
    made = []
    for key, value in pairs:
        parts = [part.strip() for part in value.split(",")]
        if key in ("dhcp-range", "dhcp-option"):
            gone = {f"set:{tag}" for tag in names if key == "dhcp-range" and tag not in asked}
            gone |= {f"tag:{alone}"} if alone and key == "dhcp-option" else set()
            parts = [_renamed(part, names) for part in parts if part not in gone]
            made.append((key, ",".join(parts)))
        else:
            made.append((key, value))
    return made


def _lone_tag(pairs: Sequence[tuple[str, str]]) -> str:
    """The tag of the only IPv4 range: what is sent to its guests is sent to all, with the tag or without."""
    ranges = [value.split(",") for key, value in pairs if key == "dhcp-range"]
    firsts = [next((p.strip() for p in parts if p.strip()[:4] not in ("set:", "tag:", "net:")), "") for parts in ranges]
    mine = [parts for parts, first in zip(ranges, firsts, strict=True) if ":" not in first]
    return _tag_of(",".join(mine[0])) if len(mine) == 1 else ""


def _tag_of(value: str) -> str:
    """The tag that a range sets."""
    return next((part.strip()[4:] for part in value.split(",") if part.strip().startswith("set:")), "")


def _renamed(part: str, names: Mapping[str, str]) -> str:
    sign, _, tag = part.partition(":")
    return f"{sign}:@{names[tag]}" if sign in ("set", "tag") and names.get(tag) else part
