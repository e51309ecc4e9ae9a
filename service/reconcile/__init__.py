"""The loop: names in a queue, one level-based round a host, everything re-read each time. Async, without edges."""
