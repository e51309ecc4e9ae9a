"""`passerelle explain`: what a key of a spec is, what it may be, and an example."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from service.spec.reference import Key


def explain(
    key: Annotated[str, Parameter(show_default=False)] = "",
    /,
    *,
    output: Annotated[Literal["text", "json"], Parameter(name=["--output", "-o"])] = "text",
) -> int:
    """Explain a key of a spec file: its meaning, type, allowed values, default and an example.

    Write names and entries of lists as they are in a spec, or as NAME, `*` and `[]`. Without a key, the keys at the top
    of each file are listed. Exit codes: 0 found, 1 no such key.

    Parameters
    ----------
    key
        The key, such as guests.web1.address or dnsmasq.dhcp[].start.
    output
        text for people, json for programs.
    """
    from service.cli.output import complain, show_json
    from service.kinds import KINDS
    from service.spec.reference import found, keys_of

    keys = keys_of(KINDS)
    if not key:
        tops = [one for file in keys.values() for one in file if len(one.path) == 1]
        if output == "json":
            show_json([as_json(one) for one in tops])
        else:
            print("\n".join(_listed(tops)))
        return 0
    answer = found(key, keys)
    if output == "json":
        show_json({"keys": [as_json(one) for one in answer.keys], "nearest": [*answer.nearest]})
    elif answer.keys:
        print("\n\n".join("\n".join(_lines(one)) for one in answer.keys))
    if not answer.keys:
        near = f"passerelle explain {answer.nearest[0]}" if answer.nearest else "passerelle explain"
        others = f"; similar keys: {', '.join(answer.nearest)}" if answer.nearest else ""
        complain(f"no spec file has the key {key[:100]}{others}", near)
    return 0 if answer.keys else 1


def as_json(one: "Key") -> dict[str, object]:
    """A key for programs."""
    return {
        "file": one.file, "key": one.dotted, "meaning": one.meaning, "type": one.type, "allowed": one.allowed,
        "required": one.required, "default": one.default, "example": one.example, "since": one.since,
        "below": [*one.below],
    }  # fmt: skip


def _listed(tops: "list[Key]") -> Iterator[str]:
    from service.spec.reference import FILES

    file = ""
    for one in tops:
        if one.file != file:
            yield from ([""] if file else [])
            file = one.file
            yield f"{FILES[file]}:"
        yield f"  {one.dotted:<14} {one.meaning}"


def _lines(one: "Key") -> Iterator[str]:
    from service.spec.reference import FILES
    from service.spec.yaml_text import flow

    yield f"{one.dotted}  ({FILES[one.file]})"
    yield f"  {one.meaning}"
    yield f"  type:     {one.type}{', required' if one.required else ''}"
    if one.allowed:
        yield f"  allowed:  {one.allowed}"
    if one.default is not None:
        yield f"  default:  {flow(one.default)}"
    for number, line in enumerate(_example(one)):
        yield f"  example:  {line}" if number == 0 else f"            {line}"
    yield f"  since:    {one.since}"
    if one.below:
        yield f"  keys:     {', '.join(one.below)}"


def _example(one: "Key") -> Iterator[str]:
    """The example where it belongs: `guests: {proxy: {address: 10.10.10.20}}`, over lines where it is long."""
    from service.spec.reference import ENTRY, NAME
    from service.spec.yaml_text import flow

    if one.example is None:
        return
    value, names = flow(one.example), [*one.names]
    if len(value) > LONG and isinstance(one.example, dict):
        value = "{" + ", ".join(f"{name}: …" for name in one.example) + "}"
    for part in reversed(one.path):
        if part == ENTRY:
            value = f"[{value}]"
        else:
            value = f"{names.pop() if part == NAME else part}: {value}"
            value = value if part == one.path[0] and len(one.path) == 1 else f"{{{value}}}"
    yield value[1:-1] if value.startswith("{") and len(one.path) > 1 else value


LONG = 200
