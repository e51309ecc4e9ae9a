"""What the operator sets: environment variables `PASSERELLE_*`. Read by the CLI and app.py only."""

import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from service import environment
from service.errors import InputError
from service.internet.resolver import parse_servers
from service.model.ceilings import Ceilings, parse_max_open, parse_max_sync, parse_percent, parse_raises
from service.model.people import parse_grants
from service.model.retention import Keep
from service.model.secret import Secret
from service.model.web_sessions import SessionLimits
from service.notices.apprise_urls import urls_of
from service.notices.channels import Wanted
from service.notices.mail import login_of
from service.private_files import read_private, refuse_writable

_ORIGIN = re.compile(r"https?://([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:]+\])(:[0-9]{1,5})?")
LEAST_BYTES = 16 << 20
"""The size that a database may have at least."""


class Settings(BaseModel):
    """The service's settings; every one has an environment variable `PASSERELLE_<NAME>`."""

    model_config = ConfigDict(frozen=True, extra="ignore", validate_default=True)

    state_dir: Path = Field(
        default=Path(environment.STATE_DIR),
        description="folder of the database, the Git mirror, the SSH key and the secrets",
    )
    database_url: str = Field(
        default="", repr=False,
        description="postgresql://…: the database, where it is not the file in STATE_DIR",
    )  # fmt: skip
    source: str = Field(default="", description="the config repository: https, ssh or an absolute local path")
    branch: str = Field(default="main", description="the branch that is followed")
    git_key: Path | None = Field(default=None, description="private key for an ssh source")
    git_known_hosts: Path | None = Field(default=None, description="known_hosts for an ssh source")
    git_token_file: Path | None = Field(default=None, description="file that holds the token for an https source")
    git_ca_file: Path | None = Field(
        default=None, description="authorities for an https source, in place of the system's"
    )
    require_signed: Literal["ssh", "pgp"] | None = Field(
        default=None, description="ssh | pgp: every new commit needs a signature of PASSERELLE_SIGNERS"
    )
    signers: Path | None = Field(
        default=None, description="whose signatures count: allowed_signers for ssh, exported public keys for pgp"
    )
    revoked_signers: Path | None = Field(
        default=None, description="for ssh: keys whose signatures do not count any more, or a key revocation list"
    )
    allow_loopback: bool = Field(default=False, description="let https and ssh sources point to this machine itself")
    ssh_key: Path | None = Field(default=None, description="private key for the hosts; default: STATE_DIR/ssh_key")
    listen: str = Field(default="127.0.0.1", description="address of the API")
    port: int = Field(default=8765, ge=1, le=65535, description="port of the API")
    log: Literal["text", "json"] = Field(default="text", description="form of the log: text | json")
    poll_s: float = Field(default=60, ge=0.2, le=86400, description="seconds between looks at the repository")
    observe_s: float = Field(default=30, ge=0.2, le=86400, description="seconds between looks at a host")
    hints: bool = Field(default=True, description="let hosts report on their own that something changed")
    sweep_s: float = Field(
        default=0, ge=0, le=86400,
        description="seconds between looks at a host that reports all kinds of changes on its own; 0: observe_s",
    )  # fmt: skip
    role: Literal["all", "api", "worker"] = Field(
        default="all",
        description="all | api | worker: what this process does of the service; several need PostgreSQL",
    )
    health_port: int = Field(
        default=0, ge=0, le=65535,
        description="port of a worker's /livez, /readyz and /metrics, on the address of PASSERELLE_LISTEN; 0: none",
    )  # fmt: skip
    workers: int = Field(default=8, ge=1, le=256, description="hosts worked on at once")
    keep_days: float = Field(
        default=365, ge=1, le=36500,
        description="days that applies, drills, differences and leases of the past and revisions are kept",
    )  # fmt: skip
    keep_event_days: float = Field(
        default=90, ge=1, le=36500, description="days that events, plans never applied and sessions that ended are kept"
    )
    keep_mb: int = Field(
        default=2048,
        ge=16,
        le=1 << 20,
        description="MiB of the database; above that, the oldest records are deleted earlier",
    )
    resolvers: str = Field(
        default="1.1.1.1,8.8.8.8,9.9.9.9",
        description="public name servers that are queried for the names of published sites",
    )
    controller: str = Field(
        default="passerelle", pattern=r"[a-z0-9][a-z0-9.-]{0,62}", description="this controller's name on the hosts"
    )

    notice_url: str = Field(default="", repr=False, description="https://…: who is informed of what happens")
    notice_secret_file: Path | None = Field(
        default=None, description="file with the secret that notices are signed with: whsec_ and base64"
    )
    notice_smtp: str = Field(
        default="",
        description="smtp:// (STARTTLS), smtps:// or smtp+plain://: the mail server that notices are sent by",
    )
    notice_smtp_login_file: Path | None = Field(
        default=None, description="file with the user and the password of the mail server, each on a line"
    )
    notice_from: str = Field(default="", description="the address of mail that notices come from")
    notice_to: str = Field(default="", description="the addresses of mail that notices go to, with commas between")
    notice_apprise_file: Path | None = Field(
        default=None, description="file with addresses for Apprise, one on a line; needs the extra apprise"
    )
    notice_plain: bool = Field(default=False, description="let notices go to other machines without encryption")
    notice_hold_s: float = Field(
        default=30, ge=0, le=3600, description="seconds that a state has to last before anybody is informed of it"
    )

    oidc_issuer: str = Field(default="", description="https://…: whose tokens of people count; needs the extra oidc")
    oidc_audience: str = Field(
        default="", description="whom these tokens have to be for: the client's id at the issuer"
    )
    oidc_groups_claim: str = Field(default="groups", description="the claim that holds the groups of a person")
    oidc_grants: str = Field(
        default="",
        description="what groups may do: GROUP=SCOPE,SCOPE@HOST,HOST with ; between; the group * is everyone",
    )

    web_url: str = Field(
        default="", description="https://…: the address of the pages, where a proxy with TLS is in front of the service"
    )
    session_idle_hours: float = Field(
        default=8, ge=0.1, le=720, description="hours without a click after which a person is signed out"
    )
    session_days: float = Field(
        default=7, ge=0.01, le=366, description="days after which a person has to sign in again in any case"
    )

    max_sync: str = Field(default="auto", description="the highest sync that a commit may ask for, also by host")
    raises: str = Field(default="commit", description="commit | approve: who may raise sync to auto, and override")
    max_open: str = Field(default="any", description="what a commit may open without an approval, as in tcp/443")
    stop_hosts: str = Field(default="20%", description="a commit that changes more of the hosts waits for an approval")
    stop_rules: str = Field(default="50%", description="a plan that removes more of the rules waits for an approval")

    @field_validator("max_sync", "raises", "max_open", "stop_hosts", "stop_rules")
    @classmethod
    def _is_ceiling(cls, value: str, info: ValidationInfo) -> str:
        name = str(info.field_name)
        of_name = {"max_sync": parse_max_sync, "raises": parse_raises, "max_open": parse_max_open}
        of_name.get(name, parse_percent)(value)
        return value

    @field_validator("oidc_grants")
    @classmethod
    def _is_grants(cls, value: str) -> str:
        parse_grants(value)
        return value

    @field_validator("web_url")
    @classmethod
    def _is_origin(cls, value: str) -> str:
        if value and not _ORIGIN.fullmatch(value):
            raise ValueError("write https://NAME, or https://NAME:PORT, in small letters and without a path")
        return re.sub(r"^(https):(.*):443$|^(http):(.*):80$", r"\1\3:\2\4", value)

    @field_validator("resolvers")
    @classmethod
    def _is_servers(cls, value: str) -> str:
        parse_servers(value)
        return value

    @property
    def ceilings(self) -> Ceilings:
        """What a commit may ask for on its own."""
        return Ceilings.parse(
            max_sync=self.max_sync, raises=self.raises, max_open=self.max_open, stop_hosts=self.stop_hosts,
            stop_rules=self.stop_rules,
        )  # fmt: skip

    @property
    def sessions(self) -> SessionLimits:
        """How long people stay signed in."""
        return SessionLimits(timedelta(hours=self.session_idle_hours), timedelta(days=self.session_days))

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return self.state_dir / environment.DATABASE_FILE

    @property
    def database(self) -> Secret | None:
        """The address of the database on a PostgreSQL server, which may have a password. None: the file is used."""
        return Secret(self.database_url.encode()) if self.database_url else None

    @property
    def keep(self) -> Keep:
        """How long what is past is kept."""
        size = self.keep_mb << 20
        if "keep_mb" not in self.model_fields_set and not self.database_url:
            size = fits_on(self.state_dir, size)
        return Keep(self.keep_days, self.keep_event_days, size)

    @property
    def git_token(self) -> Secret | None:
        """The token for an https source. InputError when its file cannot be used."""
        if self.git_token_file is None:
            return None
        read = read_private(self.git_token_file, "the token file", hint="it holds the token alone")
        token = read.decode("ascii", "replace").strip()
        if not token.isascii() or not token or not token.isprintable() or " " in token:
            raise InputError(f"{self.git_token_file} holds no token", hint="write the token alone, in one line")
        return Secret(token.encode())

    @property
    def notice_secret(self) -> Secret | None:
        """What notices are signed with; None where nobody is informed. InputError when its file cannot be used."""
        if not self.notice_url:
            return None
        if self.notice_secret_file is None:
            raise InputError(
                "PASSERELLE_NOTICE_URL is set, and there is no secret",
                hint="name its file in PASSERELLE_NOTICE_SECRET_FILE",
            )
        return Secret(
            read_private(self.notice_secret_file, "the secret of the notices", hint="it holds the secret alone")
        )

    @property
    def notices(self) -> Wanted:
        """By which ways people are informed. InputError when a file cannot be used."""
        login, urls = self.notice_smtp_login_file, self.notice_apprise_file
        user = login_of(read_private(login, "the login of the mail server")) if self.notice_smtp and login else None
        return Wanted(
            controller=self.controller, url=self.notice_url, secret=self.notice_secret, smtp=self.notice_smtp,
            login=user, sender=self.notice_from, to=self.notice_to, is_plain=self.notice_plain,
            apprise=urls_of(read_private(urls, "the file of the addresses for Apprise")) if urls else (),
        )  # fmt: skip

    def check_files(self) -> None:
        """InputError where others can read a secret that Git gets by its file's name, or write what decides whom we
        trust."""
        if self.git_key is not None:
            read_private(self.git_key, "the private key for the source", hint="name it in PASSERELLE_GIT_KEY")
        if self.git_known_hosts is not None:
            refuse_writable(self.git_known_hosts, "the known_hosts file")
        if self.git_ca_file is not None:
            refuse_writable(self.git_ca_file, "the file of certificate authorities")
        if self.require_signed and self.signers is None:
            raise InputError(
                "PASSERELLE_REQUIRE_SIGNED is set, and there are no signers",
                hint="name their file in PASSERELLE_SIGNERS",
            )
        for path in (self.signers, self.revoked_signers):
            if path is not None:
                refuse_writable(path, "the signers' file")

    @property
    def git_path(self) -> Path:
        """The folder of the config repository's mirror."""
        return self.state_dir / "git"

    @property
    def specs_path(self) -> Path:
        """The folder of what was read of the specs. It can be deleted: it is made again."""
        return self.state_dir / "specs"

    @property
    def host_key_path(self) -> Path:
        """The private key that opens the hosts."""
        return self.ssh_key or self.state_dir / "ssh_key"


def settings_beside(**given: object) -> Settings:
    """The settings of the service on this machine, for commands that work without it. An option comes first, then this
    shell's variables, then the service's own environment file. InputError names each bad one.
    """
    return _checked({**environment.variables_beside(), **given})


def read_settings(**given: object) -> Settings:
    """The settings from the environment, overridden by what was given by hand. InputError names each bad one."""
    return _checked({**environment.variables(), **given})


def _checked(values: dict[str, object]) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"PASSERELLE_{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise InputError(f"settings: {problems}", hint="see `passerelle serve --help`") from None


def fits_on(folder: Path, size: int) -> int:
    """`size` in bytes, or a quarter of the disk of a folder that may not exist yet, if that is less. A new version
    copies the file, and there are other things on a disk."""
    there = next((one for one in (folder, *folder.parents) if one.exists()), Path("/"))
    return min(size, max(LEAST_BYTES, shutil.disk_usage(there).total // 4))
