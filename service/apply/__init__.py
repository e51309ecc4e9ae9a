"""To look at hosts and to change them, over any connection that fits `service.apply.host`. Async, but free of SSH."""
