"""`passerelle token`: who may use the API. Works on the state directory, so the first token needs no token."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from service.cli.output import Format
from service.model.access import Scope

token = App(name="token", help="Create, list and revoke tokens of the API in the service's state folder.")

StateDir = Annotated[Path | None, Parameter(name="--state-dir", show_default=False)]
Output = Annotated[Format, Parameter(name=["--output", "-o"])]


@token.command(name="create")
def create(
    name: str,
    /,
    *,
    scope: Annotated[list[Scope] | None, Parameter(show_default=False, negative="")] = None,
    host: Annotated[list[str] | None, Parameter(show_default=False, negative="")] = None,
    expires: str = "90d",
    admin: Annotated[bool, Parameter(negative="")] = False,
    state_dir: StateDir = None,
    output: Output = "table",
) -> int:
    """Create a token and print it. It cannot be shown again.

    Parameters
    ----------
    name
        Whose token it is: small letters, digits, . - _
    scope
        What it can do: read, plan, apply, approve, tokens. Repeat for more. Default: read.
    host
        Hosts that it can see and change, with * and ?. Repeat for more. Default: every host.
    expires
        How long it is valid: 90d, 12h, up to 366d.
    admin
        It can do everything.
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    output
        table or json.
    """
    from service.cli.output import show_json, tell
    from service.cli.state import lifetime, local_user, open_state
    from service.clock import SystemClock

    scopes: list[Scope] = ["admin"] if admin else list(scope or ["read"])
    span = lifetime(expires)
    with open_state(state_dir) as history:
        now = SystemClock().now()
        text = history.store.create_token(
            name, scopes=scopes, hosts=host or ["*"], lifetime=span, by=local_user(), at=now
        )
    ends = (now + span).isoformat(timespec="seconds")
    if output == "json":
        show_json({"name": name, "token": text, "scopes": scopes, "hosts": host or ["*"], "expires_at": ends})
    else:
        print(text)
        tell(f"token {name}: {', '.join(scopes)} until {ends}. It is not shown again")
    return 0


@token.command(name="list")
def list_tokens(*, state_dir: StateDir = None, output: Output = "table") -> int:
    """List every token, without secrets.

    Parameters
    ----------
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    output
        table or json.
    """
    from dataclasses import asdict

    from service.cli.output import show_json, show_table
    from service.cli.state import tokens_in
    from service.clock import SystemClock

    found = tokens_in(state_dir)
    if output == "json":
        show_json([asdict(one) for one in found])
        return 0
    now = SystemClock().now()
    show_table(
        ["id", "name", "scopes", "hosts", "expires", "last used", "state"],
        [
            {
                "id": one.id,
                "name": one.name,
                "scopes": list(one.scopes),
                "hosts": list(one.hosts),
                "expires": one.expires_at.isoformat(timespec="seconds"),
                "last used": one.last_used_at.isoformat(timespec="seconds") if one.last_used_at else "never",
                "state": "revoked" if one.revoked_at else "expired" if one.expires_at <= now else "good",
            }
            for one in found
        ],
        empty="no tokens. Create one with `passerelle token create`",
    )
    return 0


@token.command(name="revoke")
def revoke(token_id: str, /, *, state_dir: StateDir = None) -> int:
    """Revoke a token now.

    Parameters
    ----------
    token_id
        Its id as `passerelle token list` shows it: the part between psr_ and the dot.
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    """
    from service.cli.output import complain, tell
    from service.cli.state import local_user, open_state
    from service.clock import SystemClock

    with open_state(state_dir) as history:
        is_done = history.store.revoke_token(token_id, by=local_user(), at=SystemClock().now())
    if not is_done:
        complain(f"token {token_id} does not exist or has been revoked", "see `passerelle token list`")
        return 1
    tell(f"token {token_id} is revoked")
    return 0
