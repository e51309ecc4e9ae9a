"""The root file system that all hosts and guests share read-only, built once and cached by content.

The cache is `/var/cache/passerelle/lab`, or the folder named by PASSERELLE_LAB_CACHE. The key of an image is the
SHA-256 of the recipe, the Debian release and its package lists: what changes one of these makes a new image, nothing
else does.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.errors import LabError
from service.lab import apt, archive, recipe, repo
from service.lab.archive import Archive
from service.lab.progress import Progress, Say

DEFAULT_CACHE = Path("/var/cache/passerelle/lab")
KEPT = 2  # images of each release; older ones go when a new one is built and no lab uses them


@dataclass(frozen=True)
class Image:
    """A built image: `root` is the file system, `packages` the flat repository."""

    key: str
    folder: Path
    suite: str

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


def ensure(suite: str = "") -> Image:
    """The image of a Debian release (the machine's own unless said), built if it is not there yet (about a minute).

    A failed build is tried once more after reading the package lists again, and says so; LabError when that fails.
    """
    wanted, cache = apt.suite_of(suite), cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with Progress(f"lab image {wanted}") as say, exclusive(cache / "building", say):
        try:
            return _cached_or_built(cache, archive.of(wanted, cache, say), say)
        except LabError as failure:
            say(f"{failure}; trying once more!")
            return _cached_or_built(cache, archive.of(wanted, cache, say, anew=True), say)


def _cached_or_built(cache: Path, source: Archive, say: Say) -> Image:
    state = f"{recipe.text()}\n{source.suite}\n{apt.digest(source.lists)}"
    key = hashlib.sha256(state.encode()).hexdigest()[:16]
    image = Image(key, cache / key, source.suite)
    if not image.folder.is_dir():
        say("building, once; later starts take it from the cache!")
        partial = cache / f"{key}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o755)
        _build(Image(key, partial, source.suite), source, say)
        partial.rename(image.folder)
        _prune(cache, image)
    os.utime(image.folder)
    return image


def _build(image: Image, source: Archive, say: Say) -> None:
    tool = image.folder / "tool"
    tool.mkdir()
    bootstrap(image.root, tool, source, say)
    shutil.rmtree(tool)
    say("downloading the hosts' packages")
    repo.build(image.root, image.packages, source, say)
    say("writing the hosts' settings")
    furnish(image.root)
    image.lock.write_text(f"{image.suite}\n")


def bootstrap(
    root: Path, tool: Path, source: Archive, say: Say, packages: Sequence[str] = recipe.PACKAGES, keep: str = ""
) -> None:
    """Unpack and configure the packages with mmdebstrap, itself taken from the machine's sources if not installed.

    `keep` is a pattern of files that are unpacked although `recipe.NOT_UNPACKED` names them.
    """
    say("fetching mmdebstrap")
    apt.download("mmdebstrap", tool)
    argv = ["env", f"PATH={tool}/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SOURCE_DATE_EPOCH=1767225600"]
    argv += ["perl", str(tool / "usr/bin/mmdebstrap"), "--mode=root", "--variant=apt", "--format=directory"]
    argv += [f"--include={','.join(packages)}"]
    argv += [f"--aptopt={option}" for option in [*apt.carried_options(), 'Acquire::Languages "none";']]
    argv += [f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.NOT_UNPACKED]
    argv += [f"--dpkgopt=path-include={keep}"] if keep else []
    argv += [source.suite, str(root), *map(str, source.sources)]
    apt.run(argv, what="building the root file system", timeout_s=900, say=say)


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
def exclusive(path: Path, say: Say) -> Iterator[None]:
    """One build at a time: holds the lock in this file, and says when it waits for it."""
    with path.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another build to end!")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _prune(cache: Path, newest: Image) -> None:
    """Remove old images of the same release that no running lab holds."""
    locks = [path for path in cache.glob("*/in-use") if path.parent != newest.folder]
    images = [path.parent for path in locks if path.read_text().strip() in ("", newest.suite)]
    for folder in sorted(images, key=lambda p: p.stat().st_mtime, reverse=True)[KEPT - 1 :]:
        with (folder / "in-use").open() as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(folder)
