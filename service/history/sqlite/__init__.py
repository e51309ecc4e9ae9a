"""The one room that knows the database's dialect. What is elsewhere in history is plain SQLAlchemy and SQLModel.

engine.py      how a connection is set up, and how a transaction begins
statements.py  what SQL says otherwise elsewhere: insert or change, selectors, parts of an index, 64-bit numbers
file.py        the file itself: whose it is, which schema, whole or damaged, a copy, its size
"""
