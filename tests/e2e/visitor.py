"""A visitor of a site: every 100 ms it asks a name server for the address, and that address for the page.

python visitor.py NAME SERVER ROOT.pem      one line for each visit: SECONDS ADDRESS STATUS-OR-ERROR
"""

import http.client
import socket
import ssl
import sys
import time

import dns.message
import dns.query
import dns.rdatatype

EVERY_S, PATIENCE_S = 0.1, 10.0


def visit(name: str, server: str, context: ssl.SSLContext) -> str:
    """The address and the status; the certificate is verified as a browser does."""
    answer = dns.query.udp(dns.message.make_query(f"{name}.", "A"), server, timeout=PATIENCE_S)
    address = next(str(row) for one in answer.answer if one.rdtype == dns.rdatatype.A for row in one)
    with socket.create_connection((address, 443), timeout=PATIENCE_S) as plain:
        connection = http.client.HTTPSConnection(name, timeout=PATIENCE_S)
        connection.sock = context.wrap_socket(plain, server_hostname=name)
        connection.request("GET", "/", headers={"Connection": "close"})
        return f"{address} {connection.getresponse().status}"


def main(name: str, server: str, root: str) -> None:
    """Until it is ended."""
    context = ssl.create_default_context(cafile=root)
    while True:
        began = time.monotonic()
        try:
            said = visit(name, server, context)
        except Exception as error:  # whatever it is, the visitor has no page
            said = f"none {type(error).__name__}: {error}".replace("\n", " ")
        sys.stdout.write(f"{time.monotonic():.3f} {said}\n")
        sys.stdout.flush()
        time.sleep(max(0.0, EVERY_S - (time.monotonic() - began)))


if __name__ == "__main__":
    main(*sys.argv[1:4])
