"""What Alembic runs. The program hands over its connection; by hand, `-x database=PATH` names a file.

Only for making migrations by hand: a database in use is brought forward by `passerelle serve`, which works on a copy.
"""

from pathlib import Path

from alembic import context
from sqlalchemy import Connection
from sqlmodel import SQLModel

import service.history.tables  # noqa: F401 (fills the metadata)
from service.history.sqlite.engine import make_engine


def run(connection: Connection) -> None:
    """Migrate over this connection; the caller commits."""
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_as_batch=True,
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    path = context.get_x_argument(as_dictionary=True).get("database")
    if not path:
        raise SystemExit("name a scratch database: alembic -x database=/tmp/scratch.sqlite …")
    engine = make_engine(Path(path))
    with engine.begin() as own:
        run(own)
    engine.dispose()
