"""How rows are counted: the database itself keeps a tally for each day or host with every row that comes or goes.

Nothing in the program writes to `tallies`, so no way of writing can forget it. A migration makes what keeps them, from
counters; the newest are in `migrations/versions/0013_tallies.py`.
"""

from dataclasses import dataclass

DAY_US = 86_400_000_000
"""Microseconds of a day."""


@dataclass(frozen=True, slots=True)
class Counter:
    """Counts the rows of `table` under the name `what`: by the day of the column `at`, and by the columns `host` and
    `kind`, where they are given. `where` has `{row}` for the row; without it all rows count. `reads`: its columns."""

    what: str
    table: str
    at: str = ""
    host: str = ""
    kind: str = ""
    where: str = "TRUE"
    reads: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For names in the database."""
        return self.what.replace(" ", "_")

    @property
    def columns(self) -> list[str]:
        """Everything of a row that it depends on."""
        return [*filter(None, (self.at, self.host, self.kind)), *self.reads] or ["id"]

    def key(self, row: str) -> str:
        """What the row called `row` is counted under, as SQL: what, day, host, kind."""
        day = f"{row}.{self.at} / {DAY_US}" if self.at else "0"
        host, kind = (f"{row}.{name}" if name else "''" for name in (self.host, self.kind))
        return f"'{self.what}', {day}, {host}, {kind}"

    def holds(self, row: str) -> str:
        """Whether the row called `row` counts, as SQL."""
        return f"({self.where.format(row=row)})"

    def counted(self) -> str:
        """A query that counts what is there, as rows of `tallies`."""
        return (
            f"SELECT {self.key(self.table)}, count(*) FROM {self.table} WHERE {self.holds(self.table)}"  # noqa: S608
            " GROUP BY 1, 2, 3, 4"
        )
