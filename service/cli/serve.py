"""`passerelle serve`: run the service."""

from typing import Annotated

from cyclopts import Parameter


def serve(
    *,
    source: Annotated[str | None, Parameter(show_default=False)] = None,
    branch: Annotated[str | None, Parameter(show_default=False)] = None,
    state_dir: Annotated[str | None, Parameter(show_default=False)] = None,
    listen: Annotated[str | None, Parameter(show_default=False)] = None,
    port: Annotated[int | None, Parameter(show_default=False)] = None,
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
    """
    from service.app import run_service
    from service.settings import read_settings

    given = {"source": source, "branch": branch, "state_dir": state_dir, "listen": listen, "port": port}
    run_service(read_settings(**{name: value for name, value in given.items() if value is not None}))
    return 0
