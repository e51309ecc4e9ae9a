"""The room that knows SQLite. What is elsewhere in history is SQL that both databases take.

engine.py      how a connection is set up, and how a transaction begins
statements.py  what this database says in words of its own
tokens.py      the tokens, for a command that loads nothing else
file.py        the file itself: whose it is, which schema, whole or damaged, a copy, its size
"""
