"""What a host sent at one look, as it is kept."""

from dataclasses import dataclass, field
from datetime import datetime

from service.model.observed import Watch
from service.model.states import Json


@dataclass(frozen=True, slots=True)
class Sighting:
    """One answer of a host, whole: read again it says what it reported then.

    `form` is that of the question: an answer to a question that is put otherwise now is never read. `nonce` marks the
    frames of `answer`, `watch` is what was requested. `weighed` is what the host said about changes of packages and
    units, None if it had no such question.
    """

    host: str
    at: datetime
    form: str
    nonce: str
    watch: Watch
    answer: bytes = field(repr=False)
    weighed: Json = None
