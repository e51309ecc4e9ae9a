"""The History edge: the one room that knows SQLModel, SQLAlchemy and Alembic. All of it blocks: call it in threads.

    history = open_history(database, serve=True)     # the service: migrates, holds the file for itself
    history = open_history(database)                 # a command next to it: tokens, receivers
    history = open_history(database, url=…)          # the same on a PostgreSQL server; the pepper stays in the folder
    history.store    service.history.store.Store     every write, one named transition each
    history.queries  service.history.queries.Queries every read
    history.close()

Values in and out are those of service.model.runs and service.model.access.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service.history.opened import History, listen, open_history
    from service.history.postgres.place import Ear, Place
    from service.history.queries import Queries
    from service.history.store import Store

__all__ = ["Ear", "History", "Place", "Queries", "Store", "listen", "open_history"]


def __getattr__(name: str) -> Any:
    """Names of `opened.py`, loaded at their first use: what only needs the file itself loads no SQLAlchemy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("Ear", "Place"):
        from service.history.postgres import place  # noqa: PLC0415

        return getattr(place, name)
    return getattr(import_module("service.history.opened"), name)
