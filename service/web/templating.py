"""Templates, and what a page does to every text that comes from a host or a repository.

Each text is escaped. What is hidden in it is written as `\\u202e`, so that a person sees it: control characters, escape
sequences, marks that turn the direction of writing.
"""

import json
import unicodedata
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from service import __version__
from service.pictures.svg import Drawing
from service.web.files import address_of
from service.web.words import HOST_PAGES, NAVIGATION, STATES, ago

_SPACES = "\n\t"
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def visible(value: Any) -> Any:
    """A text with what is hidden in it made visible; everything else as it is."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "".join(map(_seen, value))


def _seen(character: str) -> str:
    if character.isprintable() or character in _SPACES or unicodedata.category(character) not in _HIDDEN:
        return character
    return f"\\u{ord(character):04x}"


def as_time(value: str | datetime) -> datetime:
    """A time of the API."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


@pass_context
def moment(context: Context, value: str | datetime | None) -> Markup:
    """A time: absolute, and how long ago."""
    if value is None:
        return Markup('<span class="none">never</span>')
    at, now = as_time(value).astimezone(UTC), context["now"]
    return Markup('<time datetime="{}">{}</time> <span class="ago">({})</span>').format(
        at.isoformat(timespec="seconds"), f"{at:%Y-%m-%d %H:%M:%S} UTC", ago(at, now)
    )


def clock(value: str | datetime) -> str:
    """A time alone, for rows that are kept: nothing in them depends on when they are read."""
    return f"{as_time(value).astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def state(word: str) -> Markup:
    """A state: its word, a shape, and a colour."""
    tone, shape, text = STATES.get(word, ("plain", "○", word))
    return Markup('<span class="pill {}"><span class="shape" aria-hidden="true">{}</span> {}</span>').format(
        tone, shape, visible(text)
    )


def tone(word: str) -> str:
    """The tone of a state alone: a class of the style sheet."""
    return STATES.get(word, ("plain",))[0]


def commit(value: str) -> Markup:
    """A commit's name, short, with the whole name in a tooltip."""
    if not value:
        return Markup('<span class="none">none</span>')
    return Markup('<code class="commit" title="{}">{}</code>').format(visible(value), visible(value[:10]))


def drawn(picture: Drawing) -> Markup:
    """A picture in a page. service/pictures has escaped each text in it."""
    return Markup(picture.inline())  # noqa: S704


def with_query(path: str, **query: Any) -> str:
    """An address with these parameters; those without a value are left out."""
    pairs = [(name.rstrip("_"), str(value)) for name, value in query.items() if value not in (None, "")]
    return f"{path}?{urlencode(pairs)}" if pairs else path


def tojson_plain(value: Any) -> str:
    """A value of the API in one line, as people read it."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def segment(value: str) -> str:
    """A text as one part of an address's path."""
    return quote(value, safe="")


@cache
def environment() -> Environment:
    """Jinja as the pages use it. Made at the first page."""
    made = Environment(
        loader=PackageLoader("service.web"), autoescape=True, undefined=StrictUndefined, finalize=visible,
        trim_blocks=True, lstrip_blocks=True, auto_reload=False,
    )  # fmt: skip
    made.filters |= {
        "clock": clock, "commit": commit, "drawn": drawn, "moment": moment, "segment": segment, "state": state,
        "tojson_plain": tojson_plain, "tone": tone, "visible": visible,
    }  # fmt: skip
    made.globals |= {
        "HOST_PAGES": HOST_PAGES, "NAVIGATION": NAVIGATION, "static": address_of, "version": __version__,
        "with_query": with_query,
    }  # fmt: skip
    return made


def render(template: str, **values: Any) -> str:
    """The text of a page."""
    return environment().get_template(template).render(**values)


def escaped(value: str) -> str:
    """A text for HTML that no template makes."""
    return str(escape(visible(value)))
