"""From the bytes of a config repository to host specs, or to findings with file:line:col. Pure."""
