"""procrastinate's tables. They are in a schema of their own, named after the version that made them.

Two versions of passerelle never share them: one sends jobs that the other does not see, and the hosts are looked at
when their time has come. So there is nothing to migrate.
"""

from importlib.metadata import version

import psycopg
from procrastinate.schema import SchemaManager
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from service.errors import StoreError
from service.model.secret import Secret

PREFIX = "passerelle_jobs_"
_LOCK = 0x5053524A
"""`PSRJ`: who makes the tables. One number, so it is none of the locks of service/history/postgres."""


def name() -> str:
    """The name of the schema."""
    return PREFIX + "_".join(version("procrastinate").split(".")[:2])


def address(url: Secret) -> str:
    """Where connections go that see these tables only."""
    text = url.reveal().decode("utf-8", "replace")
    before = conninfo_to_dict(text).get("options") or ""
    options = f"{before} -c search_path={name()} -c synchronous_commit=on"  # what is made or sent stays
    return make_conninfo(text, options=options.strip(), application_name="passerelle jobs")


def make(url: Secret) -> None:
    """Make the tables where they are missing. Blocks. StoreError."""
    try:
        with psycopg.connect(address(url), connect_timeout=5) as session:
            session.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            if session.execute("SELECT to_regclass('procrastinate_jobs')").fetchone() != (None,):
                return
            session.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(name())))
            session.execute(SchemaManager.get_schema())
    except psycopg.Error as error:
        raise StoreError(
            f"the tables of the jobs cannot be made: {' '.join(str(error).split())}",
            hint="let the service's user make a schema: GRANT CREATE ON DATABASE passerelle TO passerelle",
        ) from None
