"""The operator's text for a Git source, checked.

    parse_source(url, branch) -> Source        raises InputError

Three forms: `https://host[:port]/path`, `ssh://[user@]host[:port]/path` (also written `user@host:path`, which
is read as `ssh://user@host/path`, as forges mean it) and an absolute local path. What Git would take as an
option, a command (`ext::`), an environment variable or a credential is refused before git sees it.
"""

import ipaddress
import re
from typing import Literal

from service.errors import InputError
from service.model.sources import Source
from service.model.trees import shown

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,31}")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~+@=,-]+)+/?")
_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+=,@#-]{0,199}")
_NETWORK = re.compile(r"(https|ssh)://(?:([^/@]*)@)?(\[[^\]/@]*\]|[^/:@\[\]]*)(?::([0-9]{1,5}))?(/.*)")
_SCP = re.compile(r"(?:([^/:@]*)@)?(\[[^\]/@]*\]|[^/:@\[\]]+):(?!:)(?!//)(.+)")
_FORMS = "write https://host/path, ssh://user@host/path, user@host:path or an absolute path"
_SCHEME_WORDS = frozenset({"ext", "fd", "file", "ftp", "ftps", "git", "http", "https", "ssh"})
# What shells and Git's config format read in their own way; no repository's path needs it.
_NEVER_IN_PATH = frozenset("$\\\"'`;|&<>*?!")


def parse_source(url: str, branch: str) -> Source:
    """Check the operator's URL or path and branch; InputError says what is wrong and what to write."""
    if not branch_is_valid(branch):
        raise InputError(
            f"the branch {shown(branch, 80)!r} cannot be used",
            hint="give the short name, as in main or release/24.04",
        )
    if not url or len(url) > 1024:
        raise _wrong("is empty or longer than 1024 characters", url)
    if not url.isprintable() or url != url.strip():
        raise _wrong("holds control or invisible characters, or space around it", url)
    if "$" in url:
        raise _wrong("holds a $; nothing is expanded", url)
    if url.startswith("-"):
        raise _wrong("begins with -", url)
    if url.startswith("/"):
        return Source(_local_path(url), branch, "local")
    if match := _NETWORK.fullmatch(url):
        scheme, user, host, port, path = match.groups()
        return _network(url, branch, scheme=scheme, user=user, host=host, port=port, path=path)
    if "://" in url or "::" in url.partition("/")[0].partition("[")[0]:
        raise _wrong("has a scheme that is not used", url)
    if match := _SCP.fullmatch(url):
        user, host, path = match.groups()
        if user is None and host.lower() in _SCHEME_WORDS:
            raise _wrong("has a scheme that is not used", url)
        return _network(url, branch, scheme="ssh", user=user, host=host, path="/" + path.removeprefix("/"))
    raise _wrong("is neither a URL nor an absolute path", url)


def branch_is_valid(branch: str) -> bool:
    """git-check-ref-format(1)'s rules on a narrower alphabet; full ref names and HEAD are refused too."""
    if not _BRANCH.fullmatch(branch) or branch in ("HEAD", "FETCH_HEAD") or branch.startswith("refs/"):
        return False
    parts = branch.split("/")
    if any(not part or part.startswith((".", "-")) or part.endswith((".lock", ".")) for part in parts):
        return False
    return ".." not in branch and "@{" not in branch


def _network(
    url: str, branch: str, *, scheme: str, user: str | None, host: str, path: str, port: str | None = None
) -> Source:
    if user is not None and scheme == "https":
        raise _wrong(
            "contains credentials. Fix: put the token into a file, and name it in PASSERELLE_GIT_TOKEN_FILE", url
        )
    if user is not None and not _USER.fullmatch(user):
        raise _wrong("has a user that is not a plain name (a URL must not contain a password)", url)
    if not _host_is_valid(host):
        raise _wrong("has no valid host name", url)
    if port is not None and not 1 <= int(port) <= 65535:
        raise _wrong("has a port outside 1 to 65535", url)
    segments = path.split("/")
    if not _PATH.fullmatch(path) or ".." in segments or "." in segments:
        raise _wrong("has a path with characters other than letters, digits and ._~+@=,-", url)
    if any(segment.startswith("-") for segment in segments):
        raise _wrong("has a path whose part begins with -", url)
    if "~" in path and (scheme != "ssh" or not path.startswith("/~") or "~" in path[2:]):
        raise _wrong("has a ~ elsewhere than at the start of an ssh path", url)
    who = f"{user}@" if user else ""
    where = f":{int(port)}" if port else ""
    return Source(f"{scheme}://{who}{host.lower()}{where}{path.rstrip('/')}", branch, _kind_of(scheme))


def _kind_of(scheme: str) -> Literal["https", "ssh"]:
    return "https" if scheme == "https" else "ssh"


def _host_is_valid(host: str) -> bool:
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            return False
        return "%" not in host
    return len(host) <= 253 and _NAME.fullmatch(host) is not None


def _local_path(path: str) -> str:
    if any(char in _NEVER_IN_PATH for char in path):
        raise _wrong("is a path with characters that shells read", path)
    segments = path.split("/")
    if ".." in segments or "." in segments:
        raise _wrong("is a path with . or .. in it", path)
    if any(segment.startswith("-") for segment in segments):
        raise _wrong("is a path whose part begins with -", path)
    kept = [segment for segment in segments if segment]
    if not kept:
        raise _wrong("is the root of the file system", path)
    return "/" + "/".join(kept)


def _wrong(what: str, url: str) -> InputError:
    # The text may hold a password: what is before an @ is never repeated.
    tail = shown(url.rsplit("@", 1)[-1], 120)
    return InputError(
        f"the Git source …{tail!r} {what}" if "@" in url else f"the Git source {tail!r} {what}", hint=_FORMS
    )
