"""The lab's address plan (RFC 5737 and RFC 2544 ranges: nothing of it exists on the real internet)."""

UPLINK_NETWORK = "198.51.100.0/24"
PROVIDER = "198.51.100.1"  # the provider's router, gateway of every host
FIRST_HOST = 11
MAX_HOSTS = 100
OUTSIDE_GATEWAY = "198.18.0.1"
CONTROLLER = "198.18.0.10"
INTERNET = "198.18.0.80"
SSH_PORT = 22
ZONE_PORT = 8053  # on the loopback of the internet: the name server that the certificate authority brings

NAMES = {
    "www.inet.example": INTERNET,
    "acme.lab.example": INTERNET,
    "deb.lab.example": INTERNET,
    "monitor.inet.example": INTERNET,
    "pip.lab.example": INTERNET,
}
"""What the internet's name server answers."""


def host_address(index: int) -> str:
    """The address of the host with this index, from 0."""
    return f"198.51.100.{FIRST_HOST + index}"
