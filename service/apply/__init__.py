"""To change hosts, over any connection that fits `service.observe.connection`. Async, but free of SSH."""
