"""`passerelle retire`: remove passerelle from a host."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from service.cli.output import Format, complain, printable, show_json, tell

if TYPE_CHECKING:
    from service.apply.retiring import Retired

Output = Annotated[Format, Parameter(name=["--output", "-o"])]
UNREACHABLE = 4


def retire(
    host: str,
    /,
    *,
    repo: Path = Path(),
    ssh_key: Path | None = None,
    keep_key: Annotated[bool, Parameter(name="--keep-key", negative="")] = False,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False,
    output: Output = "table",
) -> int:
    """Remove passerelle from a host. The host's network stays as it is.

    The command removes the state folder with its journals, the unit that restores the network at boot, and left-over
    rollback timers. Last of all it removes the line with the service's key. Files that the network needs stay, and the
    command lists them. Nothing is removed while a change waits for its confirmation, or while the spec says `sync:
    auto`. No service is needed.
    Exit codes: 0 removed, 1 error or refused, 4 unreachable.

    Parameters
    ----------
    host
        The host.
    repo
        A folder with fleet.yaml and hosts/, in which the host still is.
    ssh_key
        The private key to log in with. Without it, the service's own key.
    keep_key
        Keep the line with the service's key.
    yes
        Do not ask for a confirmation.
    output
        table for people, json for programs.
    """
    import asyncio

    from service.cli.folder_spec import spec_in
    from service.errors import Unreachable
    from service.once import retire_once
    from service.settings import settings_beside

    spec = spec_in(repo, host)
    if _is_repaired(host, spec.sync) or (not keep_key and _is_jump_host(repo, host)):
        return 1
    where = f"{host} ({spec.connection.user}@{spec.connection.address})"
    if not yes and not _is_agreed(host, where):
        return 1
    own = settings_beside().host_key_path
    tell(f"removing passerelle from {where}")
    try:
        gone = asyncio.run(retire_once(spec, ssh_key or own, None if keep_key else own))
    except Unreachable as error:
        complain(error.what, error.hint)
        return UNREACHABLE
    if output == "json":
        show_json({"host": host, "key_removed": not gone.key_kept, "key_kept": gone.key_kept, "stays": gone.stays})
    else:
        print("\n".join(printable(line) for line in as_text(host, spec.file, gone)))
    return 0


def _is_repaired(host: str, sync: str) -> bool:
    """Whether a running service may apply on its own, with a connection that it keeps; if so, it is reported."""
    if sync == "auto":
        complain(
            f"nothing was removed: {host} has `sync: auto`, so the service may begin an apply and put its files on the "
            "host again",
            "push `sync: observe` first, wait until `passerelle status` shows that commit, and try again",
        )
    return sync == "auto"


def _is_jump_host(repo: Path, host: str) -> bool:
    """Whether other hosts of the folder are reached through this one; if so, it is reported."""
    from service.cli.folder_spec import hosts_in

    behind = [name for name, other in hosts_in(repo).items() if other.connection.jump_host == host]
    if behind:
        complain(
            f"{host} is the jump host of {', '.join(behind)}: without the key on {host} the service cannot reach them",
            "give them another `connection.jump`, or add --keep-key",
        )
    return bool(behind)


def _is_agreed(host: str, where: str) -> bool:
    """Whether a person at the terminal agrees; without one, the answer is no."""
    import sys

    from service.cli.apply import is_yes

    if not sys.stdin.isatty():
        complain("no terminal to ask on, so nothing was removed", "add --yes")
        return False
    if is_yes(f"remove passerelle from {where}? [y/N] "):
        return True
    tell(f"{host}: nothing was removed")
    return False


def as_text(host: str, file: str, gone: "Retired") -> list[str]:
    """What was removed, what stays, and what to do next."""
    lines = [f"{host}: passerelle's state and units are removed. The network is unchanged."]
    if gone.key_kept:
        lines.append(f"The service's key is still on the host, because {gone.key_kept}.")
    else:
        lines.append("The service's key is removed: the service cannot log in any more.")
    if gone.stays:
        lines.append("These files stay, because the network needs them:")
        lines += [f"  {path}" for path in gone.stays]
    lines.append(f"Next: remove {file} from the repository, and push.")
    return lines
