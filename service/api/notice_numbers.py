"""Numbers of those who inform people, by the way they do it."""

from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge

from service.model.notices import NoticeStanding

NOTICE_RESULTS = ("sent", "failed", "dropped")


class NoticeNumbers:
    """The numbers of all ways. A process that informs nobody has none."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.attempts = Counter(
            "passerelle_notices", "Notices to people, by way and by what became of each attempt", ["channel", "result"],
            registry=registry,
        )  # fmt: skip
        self.waiting = Gauge(
            "passerelle_notices_waiting", "Notices that are due and were not sent yet", ["channel"], registry=registry
        )
        self.sent = Gauge(
            "passerelle_notice_last_sent_timestamp_seconds", "When a notice was last taken, 0 for never", ["channel"],
            registry=registry,
        )  # fmt: skip
        self.failed = Gauge(
            "passerelle_notice_last_failure_timestamp_seconds", "When one was last not taken, 0 for never", ["channel"],
            registry=registry,
        )  # fmt: skip

    def of(self, channel: str) -> "ChannelNumbers":
        """The numbers of one way, 0 at first."""
        return ChannelNumbers(self, channel)


class ChannelNumbers:
    """The numbers of one way."""

    def __init__(self, numbers: NoticeNumbers, channel: str) -> None:
        self._numbers = numbers
        self._channel = channel
        for result in NOTICE_RESULTS:
            numbers.attempts.labels(channel, result)
        self.stands(NoticeStanding(), 0)

    def counted(self, result: str) -> None:
        """A notice was sent, failed or was dropped. `result` is one of NOTICE_RESULTS."""
        self._numbers.attempts.labels(self._channel, result).inc()

    def stands(self, standing: NoticeStanding, waiting: int) -> None:
        """How far it is, and how many notices are due."""
        self._numbers.waiting.labels(self._channel).set(waiting)
        for gauge, at in ((self._numbers.sent, standing.sent_at), (self._numbers.failed, standing.failed_at)):
            gauge.labels(self._channel).set(datetime.fromisoformat(at).timestamp() if at else 0)
