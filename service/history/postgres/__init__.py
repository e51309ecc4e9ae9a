"""The room that knows PostgreSQL. What is elsewhere in history is SQL that both databases take.

engine.py      how a connection is set up, and how a transaction begins
statements.py  what this database says in words of its own
server.py      the address, whose database it is, which schema it has, who holds it, migrations
"""
