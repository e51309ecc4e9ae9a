"""Nothing in `web` leaves its directive, and nothing odd gets into `create`: 200 texts in each of their strings."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from service.kinds.guests import Guests
from service.kinds.web.derived import ca_file, certificates_file
from service.kinds.web.directives import on, text_of
from service.kinds.web.nginx import Target, main_file, site_file
from service.kinds.web.section import WebSection
from service.spec import document
from tests.kinds.web.nginx_reader import Directives, read
from tests.kinds.web.payloads import PAYLOADS

SITE = "www.example.org"
SPEC: dict[str, Any] = {
    "proxy": "proxy", "in": "enp1s0",
    "acme": {
        "directory": "letsencrypt", "email": "admin@example.org", "terms_agreed": True, "profile": "classic",
        "dns_hook": "/usr/local/bin/hook", "ca": ("x",),
    },
    "sites": {
        SITE: {
            "to": "dev", "port": 8080, "scheme": "http", "aliases": ("example.org",), "allow": ("192.0.2.0/24",),
            "deny": ("192.0.2.7",), "headers": {"X-Plain": "plain"}, "max_body_size": "16m", "timeout": "60s",
            "limits": {"requests": "20/s", "burst": 40, "connections": 5},
        },
    },
}  # fmt: skip
del SPEC["acme"]["ca"]
TARGET = Target("dev.example.lan", 8080, "10.10.10.1")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every string of the spec, names that it chooses among them: (…, KEY_OF, name)."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if path[-1:] in (("sites",), ("headers",)):
                yield (*path, KEY_OF, key)
            yield from places(inner, (*path, key))
    elif isinstance(value, tuple):
        for number, inner in enumerate(value):
            yield from places(inner, (*path, number))
    elif isinstance(value, str):
        yield path


KEY_OF = object()


def replaced(value: Any, path: tuple[Any, ...], new: str) -> Any:
    """The spec with another text in one place."""
    if not path:
        return new
    first, *rest = path
    if first is KEY_OF:
        return {(new if key == rest[0] else key): inner for key, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(replaced(v, tuple(rest), new) if n == first else v for n, v in enumerate(value))
    return {key: replaced(inner, tuple(rest), new) if key == first else inner for key, inner in value.items()}


def accepted(path: tuple[Any, ...], payload: str) -> WebSection | None:
    """The section, where neither the reader of files nor the models refuse it."""
    read_as = document.load(json.dumps({"value": payload}, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if read_as.problems:
        return None
    try:
        return WebSection.model_validate(replaced(SPEC, path, payload))
    except ValidationError:
        return None


def shape(lines: Directives) -> list[Any]:
    """The names of all directives and how many words each has, without what the words are."""
    return [
        [line[0], len(line), shape(line[-1])] if isinstance(line[-1], list) else [line[0], len(line)] for line in lines
    ]


def made(section: WebSection) -> list[Directives]:
    return [read(site_file(own, site, TARGET, "passerelle").decode("ascii")) for own, site in section.sites.items()]


PLAIN = WebSection.model_validate(SPEC)
PLACES = list(places(SPEC))


def test_there_are_200_texts_and_every_string_is_tried() -> None:
    assert len(PAYLOADS) >= 200
    assert len(PAYLOADS) * len(PLACES) > 3000
    assert (("sites", KEY_OF, SITE) in PLACES, ("sites", SITE, "headers", "X-Plain") in PLACES) == (True, True)


@pytest.mark.parametrize(
    "path", PLACES, ids=lambda path: ".".join("KEY" if part is KEY_OF else str(part) for part in path)
)
def test_no_text_leaves_its_directive(path: tuple[Any, ...]) -> None:
    plain = [shape(one) for one in made(PLAIN)]
    for payload in PAYLOADS:
        section = accepted(path, payload)
        if section is None:
            continue
        assert [shape(one) for one in made(section)] == plain, payload
        listed = json.loads(certificates_file(section))
        assert listed["acme"].keys() == json.loads(certificates_file(PLAIN))["acme"].keys()
        assert [one["name"] for one in listed["certificates"]] == [*section.sites]
        assert ca_file(section.acme) is None


def test_some_texts_are_accepted_and_are_one_word_again() -> None:
    """Otherwise the test above would prove nothing: headers take quotes, braces and semicolons."""
    taken = [p for p in PAYLOADS if accepted(("sites", SITE, "headers", "X-Plain"), p)]
    assert len(taken) > 60
    for payload in taken:
        section = accepted(("sites", SITE, "headers", "X-Plain"), payload)
        assert section is not None
        words = [line for line in walk(made(section)[0]) if line[0] == "add_header"]
        assert words == [["add_header", "X-Plain", payload, "always"]]


def walk(lines: Directives) -> Iterator[list[object]]:
    for line in lines:
        yield line
        if isinstance(line[-1], list):
            yield from walk(line[-1])


def test_the_main_file_is_read_as_it_is_meant() -> None:
    names = [line[0] for line in read(main_file().decode("ascii"))]
    assert names == ["map", "server", "server", "include"]


@pytest.mark.parametrize("text", ["a\nb", "a\x00b", "caf\u00e9", "\u2028"])
def test_what_nginx_cannot_read_back_is_not_written(text: str) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        text_of([on("add_header", "X", text)])


def test_the_reader_of_this_test_finds_what_leaves_its_directive() -> None:
    """The negative control: the same text, not quoted."""
    assert shape(read("add_header X a; return 200 owned; always;")) != shape(read("add_header X a always;"))
    with pytest.raises(ValueError, match="unexpected"):
        read('add_header X "a"b;')


GUEST: dict[str, Any] = {
    "proxy": {
        "mac": "bc:24:11:00:00:02", "address": "10.10.10.20", "address6": "2001:db8::20", "port": "veth-proxy",
        "vmid": 120, "create": {"bridge": "vmbr0", "storage": "local-lvm", "disk_gib": 8, "start_at_boot": True},
    },
}  # fmt: skip
GUESTS: TypeAdapter[Any] = TypeAdapter(Guests.section)
OF_GUESTS = [(KEY_OF, "proxy"), *(path for path in places(GUEST) if path)]


@pytest.mark.parametrize("path", OF_GUESTS, ids=lambda path: ".".join("KEY" if p is KEY_OF else str(p) for p in path))
def test_no_text_gets_into_what_creates_a_guest(path: tuple[Any, ...]) -> None:
    """LXC's settings and pct's arguments have no word with a blank, a quote or a line end in them."""
    assert GUESTS.validate_python(GUEST)
    for payload in PAYLOADS:
        with pytest.raises(ValidationError):
            GUESTS.validate_python(replaced(GUEST, path, payload))
