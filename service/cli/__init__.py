"""The command line. All is imported where it is used: `passerelle lint` loads no database, web or SSH library."""

import os
import sys
from collections.abc import Sequence

from service.cli.exit_codes import INTERRUPTED, USAGE


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit code and never raises for what a user can do wrong."""
    if arguments == ["--version"]:
        from service import __version__

        print(__version__)
        return 0
    from cyclopts import CycloptsError

    from service.cli.commands import app, load_all
    from service.errors import PasserelleError

    try:
        if not arguments or arguments[0] in ("--help", "-h"):
            load_all()
        result = app(list(arguments), exit_on_error=False, print_error=True, result_action="return_value")
    except CycloptsError:
        return USAGE
    except PasserelleError as error:
        from service.cli.output import complain

        complain(error.what, error.hint)
        return int(getattr(error, "exit_code", 1))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # the reader of a pipe went away: nothing more to say, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return result if isinstance(result, int) else 0
