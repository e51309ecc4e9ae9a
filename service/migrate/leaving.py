"""What the giving host loses: its guests, the forwards to them, and `web`. Its networks stay.

leaving(pair) -> Edit        raises InputError where a file that it shares with others has them
"""

from service.errors import InputError
from service.migrate.arriving import Edit, forwards_of
from service.migrate.reading import Pair
from service.spec.editing import GONE, Change
from service.spec.overriding import overridden


def leaving(pair: Pair) -> Edit:
    """The source's file without what the target has by now: a guest that is not there stays here."""
    there = pair.target.mapping("guests")
    here = pair.source.mapping("guests")
    gone = {name: guest for name, guest in here.items() if name in there}
    changes: list[Change] = []
    moves = [f"guest {name}" for name in gone]
    if web := pair.source.mapping("web"):
        changes.append((("web",), GONE))
        moves += [f"site {name}" for name in web.get("sites", {})]
    numbers = forwards_of(pair.source, gone)
    if numbers and len(numbers) == len(pair.source.items("forwards")):
        changes.append((("forwards",), GONE))
    else:
        changes += [(("forwards", number), GONE) for number, _ in reversed(numbers)]
    moves += [f"forward to {entry['to']}" for _, entry in numbers]
    if gone and len(gone) == len(here):
        changes.append((("guests",), GONE))
    else:
        changes += [(("guests", name), GONE) for name in gone]
    made = overridden(pair.source.text, changes, pair.source.layers)
    if made.left:
        why = "; ".join(dict.fromkeys(reason for _, reason in made.left))
        raise InputError(
            f"{pair.source.name} cannot lose what it shares with other hosts: {why}",
            hint=f"move it into {pair.source.file}, push, and start the command again",
        )
    stay = f"These guests stay on {pair.source.name} as they are, because passerelle destroys none: {', '.join(gone)}."
    notes = (stay,) if gone else ()
    return Edit(pair.source.file, pair.source.text, made.text, tuple(moves), notes)
