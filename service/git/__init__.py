"""The Git edge: the one room that runs the git program and opens repositories with GitPython.

source.py     text of the operator -> Source
addresses.py  which network addresses a source may resolve to
commands.py   runs git: environment, flags, limits, scrubbing
trust.py      whether commits are signed by the operator's signers
mirror.py     Mirror: fetch into a bare mirror, read a commit's tree
tree.py       reads commits, trees and blobs of the mirror
"""
