"""Which schemas this program knows. A database: `migrate.py` and `postgres/server.py` bring it to the newest."""

from pathlib import Path

from service.errors import StoreError


def migrations_folder() -> Path:
    """Where the migrations are: in the installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise StoreError("the migrations are not installed", hint="install passerelle again")


def head(folder: Path | None = None) -> str:
    """The newest revision this program knows. Revisions are numbered `0001`, `0002`… in one line."""
    versions = (folder or migrations_folder()) / "versions"
    return max(path.name[:4] for path in versions.glob("[0-9][0-9][0-9][0-9]_*.py"))
