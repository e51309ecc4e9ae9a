"""The root file system that all hosts and guests share read-only, built once and cached by content.

The cache is `/var/cache/passerelle/lab`, or the folder named by PASSERELLE_LAB_CACHE. The key of an image is the
SHA-256 of the recipe and the package lists: new lists or a new recipe make a new image, nothing else does.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.errors import LabError
from service.lab import apt, recipe, repo
from service.lab.progress import Progress, Say

DEFAULT_CACHE = Path("/var/cache/passerelle/lab")
KEPT = 2  # images; older ones go when a new one is built and no lab uses them


@dataclass(frozen=True)
class Image:
    """A built image: `root` is the file system, `packages` the flat repository."""

    key: str
    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def packages(self) -> Path:
        return self.folder / "packages"

    @property
    def lock(self) -> Path:
        return self.folder / "in-use"

    def hold(self) -> int:
        """An open file that keeps the image from being removed until it is closed, in every process that has it."""
        held = os.open(self.lock, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(held, fcntl.LOCK_SH)
        return held


def cache_folder() -> Path:
    return Path(os.environ.get("PASSERELLE_LAB_CACHE") or DEFAULT_CACHE)


def ensure() -> Image:
    """The image for this machine's package lists, built if it is not there yet (half a minute to a minute).

    A failed build is tried once more after reading the package lists anew, and says so; LabError when that fails.
    """
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with Progress("lab image") as say, _exclusive(cache / "building", say):
        if not apt.lists():
            say("reading package lists")
            apt.update(say)
        try:
            return _cached_or_built(cache, say)
        except LabError as failure:
            say(f"{failure}; trying once more!")
            apt.update(say)
            return _cached_or_built(cache, say)


def _cached_or_built(cache: Path, say: Say) -> Image:
    key = hashlib.sha256(f"{recipe.text()}\n{apt.codename()}\n{apt.lists_digest()}".encode()).hexdigest()[:16]
    image = Image(key, cache / key)
    if not image.folder.is_dir():
        say("building, once; later starts take it from the cache!")
        partial = cache / f"{key}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o755)
        _build(Image(key, partial), say)
        partial.rename(image.folder)
        _prune(cache, image)
    os.utime(image.folder)
    return image


def _build(image: Image, say: Say) -> None:
    tool = image.folder / "tool"
    tool.mkdir()
    bootstrap(image.root, tool, say)
    shutil.rmtree(tool)
    say("downloading the hosts' packages")
    repo.build(image.root, image.packages, say)
    say("writing the hosts' settings")
    furnish(image.root)
    image.lock.touch()


def bootstrap(root: Path, tool: Path, say: Say) -> None:
    """Unpack and configure the packages with mmdebstrap, itself taken from the machine's sources if not installed."""
    say("fetching mmdebstrap")
    fetch = ["sh", "-ec", 'cd "$1"; apt-get -o APT::Sandbox::User=root download mmdebstrap; dpkg -x ./*.deb .']
    apt.run([*fetch, "sh", str(tool)], what="fetching mmdebstrap", timeout_s=120)
    argv = ["env", f"PATH={tool}/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SOURCE_DATE_EPOCH=1767225600"]
    argv += ["perl", str(tool / "usr/bin/mmdebstrap"), "--mode=root", "--variant=apt", "--format=directory"]
    argv += [f"--include={','.join(recipe.PACKAGES)}"]
    argv += [f"--aptopt={option}" for option in [*apt.carried_options(), 'Acquire::Languages "none";']]
    argv += [f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.NOT_UNPACKED]
    argv += [apt.codename(), str(root), *map(str, apt.debian_sources())]
    apt.run(argv, what="building the root file system", timeout_s=600, say=say)


def furnish(root: Path) -> None:
    """Make the bare Debian at `root` a lab host: our files, masked units, nothing that must differ between hosts."""
    for pattern in recipe.REMOVED:
        for path in list(root.glob(pattern.lstrip("/"))):
            if path.is_dir():
                shutil.rmtree(path)
                path.mkdir()
            else:
                path.unlink()
    for name, content in recipe.FILES.items():
        path = Path(f"{root}{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o755 if content.startswith("#!") else 0o644)
    links = recipe.LINKS | {f"/etc/systemd/system/{unit}": "/dev/null" for unit in recipe.MASKED}
    for name, target in links.items():
        path = Path(f"{root}{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)


@contextmanager
def _exclusive(path: Path, say: Say) -> Iterator[None]:
    with path.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another build to end!")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _prune(cache: Path, newest: Image) -> None:
    """Remove old images that no running lab holds."""
    images = [p for p in cache.iterdir() if p.is_dir() and (p / "in-use").exists() and p != newest.folder]
    for folder in sorted(images, key=lambda p: p.stat().st_mtime, reverse=True)[KEPT - 1 :]:
        with (folder / "in-use").open() as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(folder)
