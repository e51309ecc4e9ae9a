"""The way to `order.py`: its virtual environment, and a conversation with it.

The environment is made once for each list of locked packages and each Python. The guest's own pip settings say from
where, and hashes are checked. That is about 6 MB from the package index, and 20 MB on disk. It is kept with the
certificates, so a rebuilt guest has it, too.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import threading
import time
from typing import Callable, Iterator, Optional

from .durable import Json, read_bytes, sync_folder
from .errors import Trouble
from .world import PATH, World, command, last_words

PREPARE_TIMEOUT_S = 600
RETRY_S = 3600
PYTHON, WHOLE = "bin/python3", "whole"
TAG = "import sys, sysconfig; print(sys.implementation.cache_tag, sysconfig.get_platform(), sep='-')"
"""Wheels of one tag fit every build of that Python."""
FIND_PIP = """\
import ensurepip, glob, os
folders = [os.path.join(os.path.dirname(ensurepip.__file__), "_bundled"), "/usr/share/python-wheels"]
print(next(found for folder in folders for found in glob.glob(os.path.join(folder, "pip-*.whl"))))
"""
"""Where Python has the wheel of pip: in itself, or in Debian's python3-pip-whl."""
CONVERSATION_TIMEOUT_S = 600
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY")
ANSWER_BYTES = 1 << 20


def environment(world: World) -> str:
    """The path of the environment's Python, which is made first if it is not there. Trouble when that fails.

    After an upgrade the one before is used while the new one cannot be made: a renewal must not wait for an index. It
    is tried again every hour.
    """
    tag = command([world.python, "-c", TAG], timeout_s=60).decode().strip()
    locked = read_bytes(world.configured("requirements.txt"))
    folder = world.kept(f"venv-{tag}-{hashlib.sha256(locked).hexdigest()[:16]}")
    if os.path.exists(os.path.join(folder, WHOLE)):
        return os.path.join(folder, PYTHON)
    others = [
        world.kept(name) for name in os.listdir(world.state) if name.startswith("venv-") and world.kept(name) != folder
    ]
    before = next(
        (each for each in others if f"/venv-{tag}-" in each and os.path.exists(os.path.join(each, WHOLE))), None
    )
    if before and _tried_within(folder, RETRY_S):
        return os.path.join(before, PYTHON)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _make(world, folder)
    except Trouble:
        if before is None:
            raise
        return os.path.join(before, PYTHON)
    for each in others:
        shutil.rmtree(each, ignore_errors=True)
    return os.path.join(folder, PYTHON)


def _tried_within(folder: str, span_s: float) -> bool:
    try:
        return abs(time.time() - os.stat(folder).st_mtime) < span_s
    except FileNotFoundError:
        return False


def _make(world: World, folder: str) -> None:
    """An environment without pip: the wheel of pip that comes with Python installs into it, in half the time."""
    python = os.path.join(folder, PYTHON)
    try:
        pip = command([world.python, "-c", FIND_PIP], timeout_s=60).decode().strip()
        command([world.python, "-m", "venv", "--without-pip", folder], timeout_s=PREPARE_TIMEOUT_S)
    except Trouble as trouble:
        raise Trouble(f"{trouble}. Fix: install the package python3-venv in this guest") from trouble
    install = ["--disable-pip-version-check", "--no-input", "install", "--quiet", "--no-cache-dir", "--no-compile"]
    install += ["--require-hashes", "--only-binary=:all:", "--requirement", world.configured("requirements.txt")]
    try:
        command([python, os.path.join(pip, "pip"), *install], timeout_s=PREPARE_TIMEOUT_S)
    except Trouble as trouble:
        raise Trouble(
            "the packages of the ACME client cannot be installed. Fix: give this guest a way to its package index, or"
            f" name one in /etc/pip.conf. pip said: {trouble}"
        ) from trouble
    os.sync()
    with open(os.path.join(folder, WHOLE), "wb") as mark:
        os.fsync(mark.fileno())
    sync_folder(folder)


def conversation(world: World, request: Json, noted: Callable[[Json], None]) -> Iterator[Json]:
    """All events of one request. `noted` is called before the client continues after an `order` or `finalize` event.

    An order has an event `issued` or `failed`; a client that dies or hangs before it has failed.
    """
    python = environment(world)
    proxies = {name: os.environ[name] for name in PROXIES if name in os.environ}
    argv = [python, "-I", "-B", world.configured("program", "order.py")]
    with subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/root", **proxies},
        start_new_session=True,
    ) as process:
        limit = threading.Timer(CONVERSATION_TIMEOUT_S, process.kill)
        said: list[bytes] = []
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        drain = threading.Thread(target=_drain, args=(process.stderr, said), daemon=True)
        limit.start()
        drain.start()
        stage = "directory"
        try:
            decided = False
            _tell(process, json.dumps(request))
            while True:
                line = process.stdout.readline(ANSWER_BYTES)
                if not line:
                    break
                try:
                    event = json.loads(line)
                except ValueError:
                    break
                if event["event"] in ("order", "finalize"):
                    stage = event["event"]
                    noted(event)
                    _tell(process, "go")
                else:
                    decided = decided or event["event"] in ("issued", "failed")
                    yield event
        finally:
            limit.cancel()
            process.kill()
        drain.join(5)
        if request["do"] == "order" and not decided:
            yield died(stage, b"".join(said))


def _tell(process: "subprocess.Popen[bytes]", line: str) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass


def _drain(stream: object, said: list[bytes]) -> None:
    for line in stream:  # type: ignore[attr-defined]
        said[:] = [*said[-20:], line[:1000]]


def died(stage: str, words: bytes) -> Json:
    """The event for a client that ended without one."""
    detail = f"the ACME client ended without an answer: {last_words(words) or 'no output'}"
    return {"event": "failed", "stage": stage, "type": None, "detail": detail, "retry_after_s": None, "over": False}


def failed_before(trouble: Trouble, stage: str) -> Json:
    """The event for a client that could not be started."""
    return {**died(stage, b""), "detail": str(trouble)}


def request_of(kind: str, *, directory: str, ca_file: Optional[str], **more: Json) -> Json:
    """The first line for `order.py`."""
    return {"do": kind, "directory": directory, "ca_file": ca_file, "user_agent": "passerelle", **more}
