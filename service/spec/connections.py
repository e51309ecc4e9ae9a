"""The key `connection` of a host file: where a host is reached, how it is known, and through which other host."""

import re
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidatorFunctionWrapHandler, WithJsonSchema, WrapValidator

from service.model.trees import quoted
from service.spec import grammar, patterns
from service.spec.hostkeys import HostKey

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_URL = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/?=&+,;:-]*)?(?:#[A-Za-z0-9._~/?=&:,+-]*)?")
_IPV6_URL = re.compile(r"https?://\[[0-9a-f:]+\](?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/?=&+,;:-]*)?")


@dataclass(frozen=True, slots=True)
class Connection:
    """How the host is reached over SSH. `host_keys` are `TYPE BASE64` without comment, any of which may be shown.

    `confirm_timeout_s` is how long a change waits for its confirmation before the host rolls it back.
    `allow_management_change` counts only in the commit that introduces it. `jump` is the host that forwards the
    connection; where it is one of the fleet, `jump_host` is its name.
    """

    address: str
    host_keys: tuple[str, ...]
    user: str = "root"
    port: int = 22
    confirm_timeout_s: int = 120
    console: str | None = None
    allow_management_change: bool = False
    jump_host: str = ""
    jump: "Jump | None" = None


@dataclass(frozen=True, slots=True)
class Jump:
    """A host that forwards the connection, reached through another one itself where `jump` says so."""

    name: str
    address: str
    host_keys: tuple[str, ...]
    user: str = "root"
    port: int = 22
    jump: "Jump | None" = None


def _check_endpoint(value: str) -> str:
    if re.fullmatch(r"[0-9.]+", value) or ":" in value:
        return grammar.check_address(value)
    return grammar.check_domain(value)


def _check_user(value: str) -> str:
    if not _USER.fullmatch(value):
        grammar.wrong(f"{quoted(value)} is not a user name", "write a login name of the host, such as root")
    return value


def _check_console(value: str) -> str:
    if not (_URL.fullmatch(value) or _IPV6_URL.fullmatch(value)):
        grammar.wrong(f"{quoted(value)} is not a web address", "write an https:// address without user and password")
    return value


_ENDPOINT = patterns.whole(
    f"{patterns.ADDRESS}|(?![0-9.]+$){grammar.DOMAIN_PATTERN}", "an address or a DNS name", maxLength=grammar.MAX_DOMAIN
)
_CONSOLE = patterns.whole(
    f"{_URL.pattern}|{_IPV6_URL.pattern}", "an http or https address without user and password", format="uri"
)
Address: TypeAlias = Annotated[str, *grammar.text(_check_endpoint, _ENDPOINT)]
HostKeys: TypeAlias = Annotated[tuple[HostKey, ...], Field(min_length=1, max_length=16)]
User: TypeAlias = Annotated[
    str, *grammar.text(_check_user, {"pattern": f"^{_USER.pattern}$"}, "a login name: a-z, 0-9, _ and -, at most 32")
]
Port: TypeAlias = Annotated[int, Field(ge=1, le=65535)]


class JumpSection(BaseModel):
    """A jump host that is not a host of the fleet."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    address: Address = Field(description="Address or DNS name of the jump host, as the service reaches it.")
    host_keys: HostKeys = Field(description="The jump host's SSH public keys; any of them, no other.")
    user: User = Field(
        "root", description="Login name on the jump host. It needs no rights but to forward connections."
    )
    port: Port = Field(22, description="TCP port of the jump host's sshd.")

    def jump(self) -> Jump:
        """In the types of the rest of the program."""
        return Jump(self.address.replace(":", "-"), self.address, self.host_keys, self.user, self.port)


def _name_or_section(value: object, section: ValidatorFunctionWrapHandler) -> object:
    """A text is the name of a host of the fleet."""
    return grammar.check_name(value) if isinstance(value, str) else section(value)


_JUMP_NAME = patterns.whole(grammar.NAME_PATTERN, "the name of a host of the fleet", maxLength=63)
_JUMP_SCHEMA = {"anyOf": [{"type": "string", **_JUMP_NAME}, JumpSection.model_json_schema()]}
JumpHost: TypeAlias = Annotated[JumpSection, WrapValidator(_name_or_section), WithJsonSchema(_JUMP_SCHEMA)]


class ConnectionSection(BaseModel):
    """The key `connection` of a host file."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    address: Address = Field(description="Address or DNS name that the service connects to.")
    host_keys: HostKeys = Field(
        description="The host's SSH public keys, as in /etc/ssh/ssh_host_*_key.pub; any of them, no other."
    )
    user: User = Field(
        "root", description="Login name on the host. Another one than root needs `sudo` without a password."
    )
    port: Port = Field(22, description="TCP port of the host's sshd.")
    confirm_timeout: Annotated[str, *grammar.duration(5, 3600)] = Field(
        "120s",
        description="How long a change waits for its confirmation before the host rolls back: 5s to 1h.",
    )
    console: Annotated[str, *grammar.text(_check_console, _CONSOLE)] | None = Field(
        None, description="Web address of the host's console, shown when all else fails."
    )
    jump: JumpHost | None = Field(
        None,
        description="The host through which the service connects: the name of a host of the fleet, or address, "
        "host_keys, user and port of another one.",
    )
    allow_management_change: bool = Field(
        default=False,
        description="Allow a change of the service's own connection. Only has an effect in the commit that adds it.",
    )

    def connection(self) -> Connection:
        """In the types of the rest of the program."""
        named: object = self.jump
        return Connection(
            address=self.address,
            host_keys=self.host_keys,
            user=self.user,
            port=self.port,
            confirm_timeout_s=grammar.duration_s(self.confirm_timeout),
            console=self.console,
            allow_management_change=self.allow_management_change,
            jump_host=named if isinstance(named, str) else "",
            jump=named.jump() if isinstance(named, JumpSection) else None,
        )
