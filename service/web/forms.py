"""What a form has to be before anybody acts on it.

    form = await form_of(request, parts, token=session.csrf)      FormRefused says why it is not taken

Another site can make a browser send a form. Each of three things alone keeps it out: the browser says where it came
from (`Sec-Fetch-Site`, `Origin`), only our pages have the token, such a form has no cookie.
"""

import asyncio
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from service.api.parts import Parts
from service.model.trees import shown

BODY_BYTES = 64 << 10
FIELDS = 200
KIND = "application/x-www-form-urlencoded"
TOKEN = "csrf"  # noqa: S105 (the name of a field)


class FormRefused(Exception):  # noqa: N818 (an answer, not a fault)
    """Why a form is not taken, for people; `hint` is what to do."""

    def __init__(self, status: int, why: str, hint: str = "") -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.hint = hint


async def form_of(request: Request, parts: Parts, *, token: str) -> Mapping[str, str]:
    """The fields of a form that one of our pages has, each once. Nothing of the body is read before it is known where
    it comes from."""
    check_origin(request, parts)
    fields = _fields(await _body(request, parts.limits.body_s))
    if not hmac.compare_digest(fields.get(TOKEN, "").encode(), token.encode()):
        raise FormRefused(
            403, "This form is not of a page of this session.", "Open the page again, and send its form from there."
        )
    return fields


def check_origin(request: Request, parts: Parts) -> None:
    """Refuse what a page of another site sent, as far as the browser says so: Fetch Metadata (W3C) and RFC 6454."""
    site, origin = _one(request, "sec-fetch-site"), _one(request, "origin")
    if site not in ("", "same-origin"):
        raise FormRefused(403, "A page of another site sent this form.", "Open the page here, and send its form.")
    ours = own_origin(request, parts)
    if origin not in ("", ours):
        where = "no known page" if origin == "null" else shown(origin, 100)
        raise FormRefused(
            403, f"This form came from {where}, and the pages are at {ours}.",
            "" if parts.web_url else "Set PASSERELLE_WEB_URL to the address of the pages. A proxy with TLS needs it.",
        )  # fmt: skip


def own_origin(request: Request, parts: Parts) -> str:
    """Where our pages are for a browser: what the operator set, else the address that this request names."""
    return parts.web_url or f"http://{_one(request, 'host').lower().removesuffix(':80')}"


def _one(request: Request, name: str) -> str:
    found = request.headers.getlist(name)
    return found[0] if len(found) == 1 else "twice" if found else ""


async def _body(request: Request, body_s: float) -> bytes:
    if _one(request, "content-type").partition(";")[0].strip().lower() != KIND:
        raise FormRefused(415, "This is not a form of a page.")
    if _one(request, "content-encoding"):
        raise FormRefused(415, "A form is sent without an encoding.")
    body = bytearray()
    try:
        async with asyncio.timeout(body_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_BYTES:
                    raise FormRefused(413, f"A form has at most {BODY_BYTES >> 10} KiB.")
    except TimeoutError:
        raise FormRefused(408, "The form took too long.") from None
    except ClientDisconnect:
        raise FormRefused(400, "The form has no end.") from None
    return bytes(body)


def _fields(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), errors="strict",
            max_num_fields=FIELDS,
        )  # fmt: skip
    except ValueError:
        raise FormRefused(400, "The form cannot be read.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise FormRefused(400, "A field of the form is there twice.")
    return fields
