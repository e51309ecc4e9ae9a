"""Jobs: "look at this host". At most one of a host waits, and at most one is received and not done.

    await wakes.open()                     StoreError where the server is away
    await wakes.send({"pve1": "3"})        name of the host: name of its queue
    await wakes.receive(queues, run)       `await run(host)` for each job, until cancelled

A job that was received by a process that ended is received again by another one, once its heartbeat is `STALLED_S` old.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping

from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException, UniqueViolation
from procrastinate.jobs import Job, Status

from service.errors import StoreError
from service.jobs import schema
from service.model.secret import Secret

HEARTBEAT_S = 5.0
STALLED_S = 15.0
POLL_S = 0.5
"""All jobs are received within this time, most at once. procrastinate loses a report that comes during its query,
and reports none of a job whose predecessor is done."""
AT_ONCE = 512
"""Jobs that one process has received and not done."""
TASK = "look"
logger = logging.getLogger(__name__)
Run = Callable[[str], Awaitable[None]]


class Wakes:
    """The jobs of one process. All of it is async, on one event loop."""

    def __init__(self, url: Secret) -> None:
        self._url = url
        self._run: Run = _nothing
        for talkative in ("procrastinate", "psycopg.pool"):  # they report every job, and each try to reconnect
            logging.getLogger(talkative).setLevel(logging.CRITICAL)
        connector = PsycopgConnector(
            conninfo=schema.address(url), kwargs={"connect_timeout": 5}, min_size=1, max_size=4, timeout=5.0,
        )  # fmt: skip
        self._app = App(connector=connector)
        self._task = self._app.task(name=TASK)(self._received)

    async def _received(self, host: str) -> None:
        await self._run(host)

    async def open(self) -> None:
        """Make the tables where they are missing, and connect. StoreError."""
        await asyncio.to_thread(schema.make, self._url)
        try:
            await self._app.open_async()
        except Exception as error:  # the pool's own timeout, and what the connector makes of others
            raise StoreError(f"the jobs cannot be reached: {error}", hint="start PostgreSQL") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._app.close_async()

    async def send(self, wanted: Mapping[str, str]) -> None:
        """Have these hosts looked at by whoever receives from their queues. StoreError, and then all may be sent
        again."""
        try:
            for host, queue in wanted.items():
                deferred = self._task.configure(lock=host, queueing_lock=host, queue=queue)
                try:
                    await deferred.defer_async(host=host)
                except AlreadyEnqueued:
                    continue
        except ConnectorException as error:
            raise StoreError(f"a job cannot be sent: {error.__cause__ or error}", hint="start PostgreSQL") from error

    async def receive(self, queues: Collection[str], run: Run) -> None:
        """`run` for each job of these queues, until cancelled; what it was at then is received again by another one."""
        self._run = run
        while True:
            try:
                await self._app.run_worker_async(
                    queues=sorted(queues), concurrency=AT_ONCE, install_signal_handlers=False, delete_jobs="always",
                    fetch_job_polling_interval=POLL_S, update_heartbeat_interval=HEARTBEAT_S,
                    stalled_worker_timeout=STALLED_S, shutdown_graceful_timeout=0.1,
                )  # fmt: skip
            except ConnectorException as error:
                logger.warning("jobs cannot be received: %s", error.__cause__ or error)
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise asyncio.CancelledError from error  # which procrastinate's last words to the server replaced
            await asyncio.sleep(POLL_S)  # procrastinate gives up where the server is away

    async def take_over(self) -> int:
        """Let jobs be received again whose process ended. Returns how many. StoreError."""
        try:
            stalled = list(await self._app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_S))
            for job in stalled:
                await self._again(job)
        except ConnectorException as error:
            raise StoreError(f"jobs cannot be read: {error.__cause__ or error}", hint="start PostgreSQL") from error
        return len(stalled)

    async def _again(self, job: Job) -> None:
        """One that waits takes the place of one that was received and not done."""
        try:
            await self._app.job_manager.retry_job(job)
        except UniqueViolation:
            await self._app.job_manager.finish_job(job, Status.FAILED, delete_job=True)


async def _nothing(_host: str) -> None:
    """Nobody receives yet."""
