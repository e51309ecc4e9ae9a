"""Where Python begins when it is given the archive. All rooms are imported before anything is done, so that a new
archive at the same path cannot be mixed with this one.
"""

import os
import sys

from service.hostside.main import main

sys.exit(main(sys.argv[1:], os.path.dirname(os.path.abspath(__file__))))
