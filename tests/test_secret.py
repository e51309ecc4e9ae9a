"""A secret is instructed to nobody, and few places read it."""

import copy
import json
import pickle
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import pydantic
import pytest

from service.model.secret import Seal, Secret

CONTENT = b"correct horse battery staple"
SERVICE = Path(__file__).parents[1] / "service"
READERS = {
    "api/receivers.py", "apply/document.py", "cli/client.py", "cli/forges.py", "cli/reporting.py", "git/commands.py",
    "history/pepper.py", "history/postgres/server.py", "jobs/schema.py", "model/secret.py", "notices/apprise_urls.py",
    "notices/mail.py", "notices/webhook.py",
}  # fmt: skip
"""Who reads a secret. A new one is a decision: say in its review where the bytes go."""


@dataclass(frozen=True)
class Holder:
    name: str
    secret: Secret


def test_no_way_of_writing_a_value_writes_a_secret() -> None:
    secret, holder = Secret(CONTENT), Holder("x", Secret(CONTENT))
    told = [str(secret), repr(secret), f"{secret}", f"{secret!r}", str([secret]), repr(holder), repr(asdict(holder))]
    assert all("Secret(***)" in text and "horse" not in text for text in told)
    for refused in (
        lambda: json.dumps({"secret": secret}),
        lambda: pydantic.TypeAdapter(Secret),
        lambda: bytes(secret),  # type: ignore[call-overload]
    ):
        with pytest.raises((pydantic.PydanticUserError, TypeError)) as error:
            refused()
        assert "horse" not in str(error.value)
    assert not hasattr(secret, "__dict__")


def test_secrets_are_equal_by_their_content_and_to_nothing_else() -> None:
    assert Secret(CONTENT) == Secret(CONTENT)
    assert hash(Secret(CONTENT)) == hash(Secret(CONTENT))
    assert Secret(CONTENT) != Secret(CONTENT + b"r")
    assert Secret(CONTENT) != CONTENT
    assert Secret(CONTENT).reveal() == CONTENT


def test_copies_and_the_way_to_a_worker_keep_the_content() -> None:
    for again in (copy.deepcopy(Secret(CONTENT)), pickle.loads(pickle.dumps(Secret(CONTENT)))):
        assert again == Secret(CONTENT)


def test_a_mark_tells_contents_apart_under_one_key_only() -> None:
    seal = Seal(Secret(b"k" * 32))
    assert re.fullmatch(r"[0-9a-f]{64}", seal.mark(Secret(CONTENT)))
    assert seal.mark(Secret(CONTENT)) == Seal(Secret(b"k" * 32)).mark(Secret(CONTENT))
    assert seal.mark(Secret(CONTENT)) != seal.mark(Secret(CONTENT + b"\n"))
    assert seal.mark(Secret(CONTENT)) != Seal(Secret(b"l" * 32)).mark(Secret(CONTENT))
    assert "kkk" not in repr(seal)


def test_few_places_read_a_secret() -> None:
    found = {str(file.relative_to(SERVICE)) for file in SERVICE.rglob("*.py") if ".reveal(" in file.read_text()}
    assert found == READERS
