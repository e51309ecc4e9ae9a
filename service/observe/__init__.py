"""To look at a host: the question put to it, its answer cut and read, what one observation says. Free of SSH."""
