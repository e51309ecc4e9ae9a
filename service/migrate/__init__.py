"""The guests and sites of a host, given to another host. Pure: what changes in Git, and the order of events.

reading.py     the two hosts of a repository, as values
arriving.py    what the receiving host gets
leaving.py     what the giving host loses
order.py       the steps, and what comes next for what was seen
trailers.py    commits of a migration, as they are written and found again
"""
