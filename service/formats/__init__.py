"""The system's own text formats, bytes ↔ values: interfaces(5), dnsmasq(8), leases, sysctl.d(5), iptables-save. Pure."""
