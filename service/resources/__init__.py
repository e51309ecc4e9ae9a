"""Of what a host is made: a small closed set. Each knows how it is compared, and what steps bring it about. Pure."""
