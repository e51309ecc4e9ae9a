"""`passerelle serve`: run the service."""

from typing import Annotated, Literal

from cyclopts import Parameter


def serve(
    *,
    source: Annotated[str | None, Parameter(show_default=False)] = None,
    branch: Annotated[str | None, Parameter(show_default=False)] = None,
    state_dir: Annotated[str | None, Parameter(show_default=False)] = None,
    listen: Annotated[str | None, Parameter(show_default=False)] = None,
    port: Annotated[int | None, Parameter(show_default=False)] = None,
    role: Annotated[Literal["all", "api", "worker"] | None, Parameter(show_default=False)] = None,
) -> int:
    """Run the service: follow the repository, look at the hosts, apply, answer the API. ^C stops it.

    Every setting has an environment variable PASSERELLE_*. The options are the most common ones.

    Parameters
    ----------
    source
        The repository with the specs: https://…, ssh://…, or an absolute local path. PASSERELLE_SOURCE.
    branch
        The branch to follow. Default: main. PASSERELLE_BRANCH.
    state_dir
        The folder of the database and the keys. PASSERELLE_STATE_DIR.
    listen
        The address of the API. Default: 127.0.0.1. PASSERELLE_LISTEN.
    port
        The port of the API. Default: 8765. PASSERELLE_PORT.
    role
        What this process does: `all`, only the `api`, or only the work on hosts, `worker`. The last two need a
        PostgreSQL server, and any number of them serve one database. Default: all. PASSERELLE_ROLE.
    """
    from service.settings import read_settings

    given = {
        "source": source, "branch": branch, "state_dir": state_dir, "listen": listen, "port": port, "role": role,
    }  # fmt: skip
    settings = read_settings(**{name: value for name, value in given.items() if value is not None})
    if settings.role == "all":
        from service.app import run_service

        run_service(settings)
    else:
        from service.roles import run_role

        run_role(settings)
    return 0
