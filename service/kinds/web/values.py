"""The values of the key `web`: each a check, and the pattern that editors have of it.

No value has a blank but those of headers and certificates. Those of headers are quoted where they are written
(service/kinds/web/directives.py), and a certificate is decoded and encoded again.
"""

import base64
import binascii
import ipaddress
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from service.model.trees import quoted
from service.spec import patterns
from service.spec.grammar import (
    DOMAIN_PATTERN,
    MAX_DOMAIN,
    NAME_PATTERN,
    check_address,
    check_address4,
    check_domain,
    check_name,
    one_or_many,
    text,
    wrong,
)
from service.spec.patterns import number, whole

MAX_SITE = 200
"""A site's name is the name of its file: with .conf it stays below the 255 bytes of a file name."""
MAX_ITEMS = 256
MAX_HEADER = 1024
WILDCARD = "*."

_NETWORK = re.compile(r"[0-9A-Fa-f:.]+/(?:0|[1-9][0-9]{0,2})")
_SIZE = re.compile(r"0|[1-9][0-9]{0,5}[kmg]")
_RATE = re.compile(rf"({number(1, 100_000)})/([sm])")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_HEADER_VALUE = re.compile(r"[!-#%-~](?:[ !-#%-~]*[!-#%-~])?")
_EMAIL = re.compile(r"[A-Za-z0-9._+-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+")
_URL = re.compile(
    rf"https://(?:[a-z0-9](?:[a-z0-9.-]{{0,251}}[a-z0-9])?|\[(?:{patterns.ANY_IPV6})\])(?::{patterns.PORT})?"
    r"/[A-Za-z0-9._~/-]{0,200}"
)
_PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HOOK = re.compile(r"(?:/[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}){1,8}")
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s?([A-Za-z0-9+/=\s]{64,2000}?)\s?-----END CERTIFICATE-----\s?")

KEPT_HEADERS = frozenset(
    {"connection", "content-length", "date", "keep-alive", "server", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Headers that are about the connection or the message itself (RFC 9110, 7.6.1 and 8.6): nginx writes them."""

LETSENCRYPT, STAGING = "letsencrypt", "letsencrypt-staging"
DIRECTORIES = {
    LETSENCRYPT: "https://acme-v02.api.letsencrypt.org/directory",
    STAGING: "https://acme-staging-v02.api.letsencrypt.org/directory",
}


def check_site(value: str) -> str:
    """A site's own name, which is the name of its file and of its certificate, too."""
    if value.startswith(WILDCARD):
        wrong(f"{quoted(value)} is a wildcard", f"name the site {value.removeprefix(WILDCARD)}, with this as an alias")
    check_domain(value)
    if len(value) > MAX_SITE:
        wrong(f"{quoted(value)} has {len(value)} characters", f"write at most {MAX_SITE}, the longer name as an alias")
    return value


def check_alias(value: str) -> str:
    """A further name of a site: a domain, or a wildcard for the names right below one (RFC 6125, 6.4.3)."""
    check_domain(value.removeprefix(WILDCARD))
    return value


def check_upstream(value: str) -> str:
    """A guest's name, or an IPv4 address."""
    return check_address4(value) if re.fullmatch(r"[0-9.]+|[0-9A-Fa-f]*:.*", value) else check_name(value)


def check_clients(value: str) -> str:
    """An address or a network of clients, IPv4 or IPv6; canonical form."""
    if "/" not in value:
        return check_address(value)
    right = "write a network such as 192.0.2.0/24 or 2001:db8::/32"
    if not _NETWORK.fullmatch(value):
        wrong(f"{quoted(value)} is not a network", right)
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        wrong(f"{quoted(value)} is not a network", right)
    if network.prefixlen == 0:
        wrong(f"{quoted(value)} means every address", "remove it: without `allow` everybody may ask")
    if network.network_address != ipaddress.ip_address(value.partition("/")[0]):
        wrong(f"{quoted(value)} has host bits set", f"write {network}")
    return str(network)


def check_size(value: str) -> str:
    """A size as nginx writes it: digits with k, m or g; 0 means no limit."""
    if not _SIZE.fullmatch(value):
        wrong(f"{quoted(value)} is not a size", "write digits with k, m or g, such as 16m, or 0 for no limit")
    return value


def read_size(value: object) -> object:
    """0 without quotes is a number in YAML."""
    return "0" if value == 0 and not isinstance(value, bool) else value


def check_rate(value: str) -> str:
    """A number of requests for each second or minute."""
    if not _RATE.fullmatch(value):
        wrong(f"{quoted(value)} is not a rate", "write a number for each second or minute, such as 20/s or 300/m")
    return value


def check_header(value: str) -> str:
    """The name of a header that may be set on answers."""
    if not _HEADER.fullmatch(value):
        wrong(f"{quoted(value)} is not the name of a header", "write letters, digits and -, such as X-Frame-Options")
    if value.lower() in KEPT_HEADERS:
        wrong(f"{quoted(value)} is about the connection or the message itself", "leave it to nginx")
    return value


def check_header_value(value: str) -> str:
    """What a header says. nginx takes `$` for a variable and has no way to write the character itself."""
    if "$" in value:
        wrong(f"{quoted(value)} has a $, which nginx takes for a variable", "leave it out, or let the upstream say it")
    if not _HEADER_VALUE.fullmatch(value):
        wrong(f"{quoted(value)} is not the value of a header", "write visible ASCII characters, blanks only inside")
    return value


def check_email(value: str) -> str:
    """The address by which the certificate authority writes to somebody."""
    if not _EMAIL.fullmatch(value):
        wrong(f"{quoted(value)} is not an e-mail address", "write an address such as admin@example.org")
    return value


def check_directory(value: str) -> str:
    """A certificate authority by name, or the URL of its directory (RFC 8555, 7.1.1)."""
    if value not in DIRECTORIES and not _URL.fullmatch(value):
        words = f"write {LETSENCRYPT}, {STAGING} or an https URL such as https://ca.example.org/acme/directory"
        wrong(f"{quoted(value)} is not a directory of a certificate authority", words)
    return value


def check_profile(value: str) -> str:
    """The name of a profile of the certificate authority, passed on as it is."""
    if not _PROFILE.fullmatch(value):
        wrong(f"{quoted(value)} is not a profile", "write a name such as classic, tlsserver or shortlived")
    return value


def check_hook(value: str) -> str:
    """A program in the guest: an absolute path, never relative, never with `..`."""
    if not _HOOK.fullmatch(value):
        wrong(f"{quoted(value)} is not the path of a program", "write an absolute path such as /usr/local/bin/dns-hook")
    return value


def check_certificate(value: str) -> str:
    """A certificate in PEM (RFC 7468), its lines joined by blanks, as the reader of files joins those of a block."""
    match = _PEM.fullmatch(value)
    if not match:
        wrong(
            f"{quoted(value[:40])} is not one certificate in PEM",
            "write `|` after the key, and below it the lines from BEGIN CERTIFICATE to END CERTIFICATE, indented",
        )
    try:
        der = base64.b64decode("".join(match[1].split()), validate=True)
    except binascii.Error:
        wrong("the certificate is not base64", "copy it again, whole")
    if not _is_whole(der):
        wrong("the certificate is not whole", "copy it again, from BEGIN CERTIFICATE to END CERTIFICATE")
    return value


def _is_whole(der: bytes) -> bool:
    """Whether it is one DER sequence of a length of two bytes, from its first byte to its last (X.690, 8.1.3)."""
    return der[:2] == b"\x30\x82" and int.from_bytes(der[2:4], "big") == len(der) - 4


def pem_of(value: str) -> str:
    """The certificate as a program reads it, encoded again."""
    match = _PEM.fullmatch(value)
    body = base64.b64encode(base64.b64decode("".join(match[1].split()))).decode() if match else ""
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


def many(schema: dict[str, Any]) -> Any:
    """One text, or a list of them."""
    one = {"type": "string", **schema}
    return (
        Field(min_length=1, max_length=MAX_ITEMS),
        BeforeValidator(one_or_many),
        WithJsonSchema({"anyOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": MAX_ITEMS}]}),
    )


_CLIENTS = whole(
    f"{patterns.IPV4}|{patterns.IPV6}|{patterns.ANY_IPV4}/{number(1, 32)}|{patterns.ANY_IPV6}/{number(1, 128)}",
    "an IPv4 or IPv6 address or network",
)
_ALIAS = whole(rf"(?:\*\.)?{DOMAIN_PATTERN}", "a DNS name in lower case, or *. before one", maxLength=MAX_DOMAIN + 2)
_CERTIFICATE = whole(_PEM.pattern, "a certificate in PEM, pasted below |")
SiteName = Annotated[str, *text(check_site, whole(DOMAIN_PATTERN, "a DNS name in lower case", maxLength=MAX_SITE))]
Alias = Annotated[str, *text(check_alias, _ALIAS)]
Aliases = Annotated[tuple[Alias, ...], *many(_ALIAS)]
Upstream = Annotated[
    str,
    *text(
        check_upstream,
        whole(f"{patterns.IPV4}|(?![0-9.]+$){NAME_PATTERN}", "a guest of the spec, or an IPv4 address", maxLength=63),
    ),
]
Clients = Annotated[tuple[Annotated[str, *text(check_clients, _CLIENTS)], ...], *many(_CLIENTS)]
Size = Annotated[
    str,
    BeforeValidator(read_size),
    AfterValidator(check_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", **whole(_SIZE.pattern, "digits with k, m or g; 0: no limit")},
                {"type": "integer", "minimum": 0, "maximum": 0},
            ]
        }
    ),
]
Rate = Annotated[str, *text(check_rate, whole(f"{number(1, 100_000)}/[sm]", "a number of requests, then /s or /m"))]
_NOT_KEPT = "|".join("".join(f"[{c.upper()}{c}]" if c.isalpha() else c for c in name) for name in sorted(KEPT_HEADERS))
HeaderName = Annotated[
    str, *text(check_header, whole(f"(?!(?:{_NOT_KEPT})$){_HEADER.pattern}", "the name of a header"))
]
HeaderValue = Annotated[
    str,
    Field(max_length=MAX_HEADER),
    *text(
        check_header_value,
        whole(_HEADER_VALUE.pattern, "visible ASCII characters but $, blanks only inside", maxLength=MAX_HEADER),
    ),
]
Email = Annotated[str, *text(check_email, whole(_EMAIL.pattern, "an e-mail address"))]
Directory = Annotated[
    str,
    *text(
        check_directory, whole(f"{LETSENCRYPT}|{STAGING}|{_URL.pattern}", f"{LETSENCRYPT}, {STAGING} or an https URL")
    ),
]
Profile = Annotated[str, *text(check_profile, whole(_PROFILE.pattern, "the name of a profile"))]
Hook = Annotated[str, *text(check_hook, whole(_HOOK.pattern, "the absolute path of a program in the guest"))]
Certificates = Annotated[tuple[Annotated[str, *text(check_certificate, _CERTIFICATE)], ...], *many(_CERTIFICATE)]
