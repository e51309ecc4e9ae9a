"""`passerelle` and `python -m service`."""

import io
import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    from service.cli import run

    if isinstance(sys.stdout, io.TextIOWrapper):
        # a comment in a file of others may hold what an old terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
