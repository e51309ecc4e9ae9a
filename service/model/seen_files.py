"""Which findings concern hosts that somebody sees: by the file that a finding is in, and the names in its words."""

from collections.abc import Callable, Collection
from pathlib import PurePosixPath


def host_of_file(file: str) -> str:
    """The host that a file of the repository describes; empty for any other file. A place in it (`:7:1`) may follow."""
    path = PurePosixPath(file.partition(":")[0])
    return path.stem if path.parts[:1] == ("hosts",) else ""


def is_of_seen(file: str, text: str, sees: Callable[[str], bool], others: Collection[str]) -> bool:
    """Whether a finding is in a seen host's file, and its text names none of the others."""
    if not sees(host_of_file(file)):
        return False
    words = {word.strip(".,:;()'\"") for word in text.split()}
    return words.isdisjoint(others) and not any(host_of_file(word) and not sees(host_of_file(word)) for word in words)
