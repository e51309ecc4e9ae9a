"""Copies of the host-side file without one of the promises that a race needs."""

from typing import NamedTuple


class Without(NamedTuple):
    """`cuts` are (text of the file, what takes its place); `kinds` the faults that must be found then."""

    cuts: tuple[tuple[str, str], ...]
    kinds: frozenset[str]


CONTROLS = {
    "no lock": Without(
        (("                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)\n", "                pass\n"),),
        frozenset({"lost", "resurrected", "blind", "two_armed", "generations"}),
    ),
    "no compare and swap": Without(
        (
            ('        if not same(fact, entry["before"], value):\n', "        if False:\n"),
            ("            if not self._expected(number, now, first):\n", "            if False:\n"),
            (
                'self.setter.files.set(fact[5:], step["after"], expected=self.old[fact] if first else now)',
                'self.setter.files.set(fact[5:], step["after"])',
            ),
        ),
        frozenset({"lost", "blind"}),
    ),
    "no fencing": Without(
        (('    if document["generation"] <= last:\n', "    if False:\n"),),
        frozenset({"generations"}),
    ),
    "a rollback forgets what it found": Without(
        (("    setter.files.taken = lambda fact, path: _keep_foreign(transaction, snapshot, fact, path)\n", ""),),
        frozenset({"lost"}),
    ),
}
