"""The internet edge: what a CA and visitors see of a site. The one room that knows dnspython and cryptography.

resolver.py    names and CAA records, from public name servers and never from the split DNS of a host
asking.py      one HTTP request to an address, bounded in time and size
serving.py     a site as it answers over HTTPS: certificate, name, status
preflight.py   the checks before the first order
sight.py       all of it, for the loop
"""
