"""How long ago something was, for people."""


def ago(seconds: float) -> str:
    """`3 min ago`: in the largest unit of which there are two or more. What is yet to come was just now."""
    seconds = max(0.0, seconds)
    for unit, size_s in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
