"""`passerelle key`: the service's public SSH key, as a line for the hosts."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def key(
    *,
    source: Annotated[str, Parameter(name="--from")] = "",
    is_jump: Annotated[bool, Parameter(name="--jump", negative="")] = False,
    state_dir: Annotated[Path | None, Parameter(name="--state-dir", show_default=False)] = None,
) -> int:
    """Print the service's public key as a line for authorized_keys. If there is none, create the key first.

    The line goes into ~/.ssh/authorized_keys of the login user on each host. `restrict` forbids terminals and
    forwarding, which the service does not use. A jump host needs the line of `--jump`.

    Parameters
    ----------
    source
        The address or network that the service connects from, as sshd sees it. sshd then accepts the key from there
        only. Several are separated by commas.
    is_jump
        Print the line for a jump host: its sshd also forwards connections for this key.
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    """
    from service.cli.output import tell
    from service.settings import read_settings, settings_beside
    from service.ssh.own_key import authorized_line

    settings = settings_beside() if state_dir is None else read_settings(state_dir=state_dir)
    print(authorized_line(settings.host_key_path, source, is_jump=is_jump))
    where = "each jump host" if is_jump else "each host"
    tell(f"Add this line to ~/.ssh/authorized_keys of the login user (root, if the spec names none) on {where}.")
    return 0
