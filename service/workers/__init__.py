"""Where work on hosts' answers is done: a thread for what is small and quick, processes with limits for the rest."""

from service.workers.workers import Workers

__all__ = ["Workers"]
