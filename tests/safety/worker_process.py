"""A process of the service over the hosts of a field.

python -m tests.safety.worker_process FOLDER URL FIELD ROLE [PORT]
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from service.history import open_history
from service.logs import log_to
from service.model.secret import Secret
from service.roles import Answering, Worker
from service.settings import Settings
from tests.safety.worker_field import world_of


def main() -> None:
    folder, url, field = Path(sys.argv[1]), Secret(sys.argv[2].encode()), Path(sys.argv[3])
    role: Any = sys.argv[4]
    settings = Settings(
        state_dir=folder, source=os.environ["FIELD_SOURCE"], database_url=sys.argv[2], role=role, hints=False,
        observe_s=float(os.environ.get("FIELD_OBSERVE_S", "5")), poll_s=float(os.environ.get("FIELD_POLL_S", "1")),
        workers=int(os.environ.get("FIELD_WORKERS", "8")), port=int(sys.argv[5]) if role == "api" else 8765,
        health_port=int(os.environ.get("FIELD_HEALTH_PORT", "0")),
        stop_hosts="100%",  # what is pushed here changes all hosts, and nobody is there to approve it
    )  # fmt: skip
    log = log_to(form="text")
    with open_history(settings.database_path, serve=True, url=url, together=True) as history:
        if role == "worker":
            asyncio.run(Worker(settings, url, history, world_of(field)).run())
        else:
            Answering(settings, url, history).run(world_of(field))
    log.close()


if __name__ == "__main__":
    main()
