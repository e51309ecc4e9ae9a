"""The program that gets certificates inside the guest that answers on 80 and 443.

It runs in guests: Python 3.9, standard library only, no imports of ours. One file, `order.py`, runs in a virtual
environment of its own with certbot's library `acme`; no other file imports that. `shipped.py` is the service's way to
these files and is not shipped.
"""
