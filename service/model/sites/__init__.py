"""Published sites: what Git wants, what the guest's own program says, what was seen of them, and what that means.

wanted.py     a site as Git wants it
told.py       what the program in the guest says of its certificates
seen.py       what probes and checks saw
states.py     the state of a site and its sentence, of all of these
caa.py        which CA may issue
records.py    what the history keeps of a site
news.py       which events follow from two looks
"""
