"""The section `web`: the guest that answers on 80 and 443, who issues certificates, and the sites."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.kinds.web.values import (
    DIRECTORIES,
    Aliases,
    Certificates,
    Clients,
    Directory,
    Email,
    HeaderName,
    HeaderValue,
    Hook,
    Profile,
    Rate,
    SiteName,
    Size,
    Upstream,
)
from service.spec.grammar import HostName, InterfaceName, duration

KEY = "web"
HTTP, HTTPS = 80, 443
MOST_NAMES = 100
"""Names in a certificate of Let's Encrypt (letsencrypt.org/docs/rate-limits)."""
MOST_NAMES_OF = {"tlsserver": 25, "shortlived": 25}
"""Of its profiles (letsencrypt.org/docs/profiles)."""


class Acme(BaseModel):
    """Who issues certificates (RFC 8555), and to whom."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    directory: Directory = Field(description="letsencrypt, letsencrypt-staging, or the https URL of a directory.")
    email: Email | None = Field(None, description="The address to which the certificate authority writes.")
    terms_agreed: bool = Field(
        default=False, description="true: you have read and agree to the terms of the certificate authority."
    )
    profile: Profile | None = Field(None, description="A profile of the certificate authority, such as shortlived.")
    ca: Certificates | None = Field(
        None,
        description="Roots of an own certificate authority in PEM, pasted below `|`. Default: the usual ones.",
    )
    dns_hook: Hook | None = Field(
        None, description="Names are proved by dns-01, with this program in the guest. Default: by http-01."
    )

    @property
    def url(self) -> str:
        """The directory's URL."""
        return DIRECTORIES.get(self.directory, self.directory)

    @property
    def most_names(self) -> int:
        """How many names a certificate may have."""
        return MOST_NAMES_OF.get(self.profile or "", MOST_NAMES)


class Limits(BaseModel):
    """Limits for each client address."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    requests: Rate | None = Field(None, description="Requests for each second or minute, such as 20/s; then 429.")
    burst: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Requests beyond it that are answered at once. Default: those of a second.",
    )
    connections: int | None = Field(None, ge=1, le=100_000, description="Requests at the same time; then 429.")


class Site(BaseModel):
    """One site: its names, and where its requests go."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    to: Upstream = Field(description="The guest that answers, or an IPv4 address in one of the host's networks.")
    port: int = Field(HTTP, ge=1, le=65535, description="The port on which it answers.")
    scheme: Literal["http", "https"] = Field(
        "http", description="The protocol there. https: its certificate is not verified."
    )
    aliases: Aliases | None = Field(
        None, description="Further names; with `dns_hook` also wildcards, as in *.example.org."
    )
    https: bool = Field(default=True, description="false: plain HTTP only, and no certificate.")
    redirect_https: bool = Field(default=False, description="Plain HTTP redirects to HTTPS.")
    allow: Clients | None = Field(None, description="Addresses and networks of clients. Default: everybody.")
    deny: Clients | None = Field(None, description="Addresses and networks of clients that get 403, before `allow`.")
    headers: Annotated[Mapping[HeaderName, HeaderValue], Field(max_length=64)] = Field(
        {}, description="Headers of every answer, in place of those of the upstream."
    )
    max_body_size: Size = Field("16m", description="The largest request body, such as 16m; 0: no limit.")
    websocket: bool = Field(default=True, description="false: no upgrade to WebSocket.")
    timeout: Annotated[str, *duration(1, 86400)] = Field(
        "60s", description="How long the upstream may be silent; WebSockets, too."
    )
    limits: Limits | None = Field(None, description="Limits for each client address. Default: none.")

    def names(self, own: str) -> tuple[str, ...]:
        """All its names, its own first."""
        return (own, *(self.aliases or ()))


class WebSection(BaseModel):
    """Sites that a guest answers for on 80 and 443."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    proxy: HostName = Field(description="The guest with nginx; it has a fixed address.")
    interface: InterfaceName | None = Field(
        None,
        alias="in",
        description="The interface whose IPv4 addresses are meant. Default: the default route's.",
    )
    acme: Acme = Field(description="The certificate authority.")
    sites: Annotated[Mapping[SiteName, Site], Field(max_length=1000)] = Field(
        {}, description="Sites by name; a name is also that of its certificate."
    )
