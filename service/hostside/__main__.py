"""Where Python begins when it is given the archive: all rooms are imported before anything is done, so that a new
archive in the place of this one cannot be met half way."""

import os
import sys

from service.hostside.main import main

sys.exit(main(sys.argv[1:], os.path.dirname(os.path.abspath(__file__))))
