"""The room that knows procrastinate: how one process of the service has another one look at a host.

    queue = JobQueue(Queue(clock), Wakes(url), owns, queue_of)   `HostQueue` for one process of several
    queue.send(), queue.receive(queues), queue.take_over()       run until they are cancelled

schema.py   procrastinate's tables, in a schema of their own
wakes.py    jobs: sent, received, and those of a process that ended
queue.py    the queue of hosts on top of both

A job says that a host has to be looked at, and nothing else. What is wanted of the host is in the rows of the history,
so a job that is lost loses some seconds.
"""

from service.jobs.queue import JobQueue
from service.jobs.wakes import Wakes

__all__ = ["JobQueue", "Wakes"]
