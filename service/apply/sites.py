"""Published sites over a host's connection: the question how each answers there, and how the answer is read. Pure.

order_of(sites) -> order          for the verb `answers`
read_answers(result, sites)       by the name of each site: its answer, and the certificate in DER
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from service.errors import Garbled
from service.model.sites.seen import Answer
from service.model.sites.wanted import SiteWanted
from service.model.trees import shown

MOST_CERTIFICATE = 24 << 10


def order_of(sites: Sequence[SiteWanted]) -> list[dict[str, Any]]:
    """What the host is to ask its proxy."""
    return [
        {"name": one.name, "address": one.proxy_address, "port": one.port, "tls": one.is_https} for one in sites
    ]  # fmt: skip


def read_answers(result: Mapping[str, Any], sites: Sequence[SiteWanted]) -> dict[str, tuple[Answer, bytes]]:
    """Raises Garbled where the host says something else. A certificate that is not one is empty."""
    rows = result.get("answers")
    if not isinstance(rows, list) or len(rows) != len(sites):
        raise Garbled("the host-side file did not say how the sites answer")
    return {site.name: _answer(row, site) for row, site in zip(rows, sites, strict=True)}


def _answer(row: Any, site: SiteWanted) -> tuple[Answer, bytes]:
    if not isinstance(row, dict) or row.get("name") != site.name:
        raise Garbled("the host-side file answered about another site")
    status, error, der = row.get("status"), row.get("error"), row.get("certificate")
    if isinstance(status, bool) or not isinstance(status, int) or not 0 <= status <= 599:
        raise Garbled("the host-side file reported a status that is not one of HTTP")
    if not isinstance(error, str) or not isinstance(der, str) or len(der) > MOST_CERTIFICATE:
        raise Garbled("the host-side file reported an answer of another form")
    try:
        raw = base64.b64decode(der, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    why = "" if status else shown(error, 120) or "no answer"
    return Answer(site.proxy_address, status, why), raw
