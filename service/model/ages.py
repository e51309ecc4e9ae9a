"""How long ago something was, and how long it is until something, for people."""


def ago(seconds: float) -> str:
    """`3 min ago`: in the largest unit of which there are two or more. What is yet to come was just now."""
    return f"{_lasting(seconds)} ago"


def ahead(seconds: float) -> str:
    """`in 3 min`: the same of what is yet to come; `3 min ago` where it is past."""
    return f"in {_lasting(seconds)}" if seconds > 0 else ago(-seconds)


def _lasting(seconds: float) -> str:
    seconds = max(0.0, seconds)
    for unit, size_s in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:.0f} {unit}"
    return f"{seconds:.0f} s"
