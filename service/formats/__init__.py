"""The system's own text formats, bytes ↔ values: interfaces(5), dnsmasq(8), sysctl.d(5), leases, NAT. Pure."""
