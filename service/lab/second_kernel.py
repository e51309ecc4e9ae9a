"""Debian's own kernel for hosts of the lab, under QEMU: what the machine's kernel lacks, such as VLANs and bonds.

It is built once for each image, into the folder of that image, and is removed with it: `kernel`, `initrd` and
`root.ext4` (the image's files with the kernel's modules).
"""

import fcntl
import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from service.errors import LabError
from service.lab import apt, archive, image, kernel_recipe, preflight
from service.lab.image import Image
from service.lab.progress import Progress, Say
from service.lab.waiting import grown_s

KERNELS = ("machine", "debian")
"""Whose kernel a host has: that of this machine, in a container, or Debian's own, under QEMU."""
TRY_TIMEOUT_S = 10.0
QEMU = "qemu-system-x86_64"


@dataclass(frozen=True)
class SecondKernel:
    """A built kernel. `accelerator` is what QEMU is to use here: kvm, or tcg, which every machine can do."""

    folder: Path
    accelerator: str


def known(kernel: str) -> str:
    """The word, one of KERNELS; empty is the machine's. LabError for any other, and for what the machine lacks."""
    if kernel and kernel not in KERNELS:
        raise LabError(f"the lab has no kernel {kernel!r}", hint=f"one of {', '.join(KERNELS)}")
    if kernel == "debian" and (lacking := preflight.lacks_for_qemu()):
        raise LabError("this machine cannot run hosts under QEMU: " + "; ".join(lacking))
    return kernel or "machine"


def ensure(built: Image) -> SecondKernel:
    """The kernel for this image, built if it is not there yet (some 15 s). LabError when that fails."""
    folder = built.folder / f"kernel-{hashlib.sha256(kernel_recipe.text().encode()).hexdigest()[:16]}"
    cache = image.cache_folder()
    with Progress(f"lab kernel {built.suite}") as say, image.exclusive(cache / "building", say):
        if not folder.is_dir():
            partial = built.folder / "kernel.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            _build(built, partial, say)
            partial.rename(folder)
            _prune(built, folder)
        return SecondKernel(folder, _accelerator(folder, cache, say))


def _build(built: Image, target: Path, say: Say) -> None:
    source = archive.of(built.suite, image.cache_folder(), say)
    shown = apt.run(
        ["apt-cache", *source.options, "depends", kernel_recipe.METAPACKAGE], what="apt-cache", timeout_s=60
    )
    found = re.search(r"Depends: (linux-image-\S+)", shown)
    if found is None:
        raise LabError(f"the archive of {built.suite} has no {kernel_recipe.METAPACKAGE}", hint="apt-get update")
    parts = target / "parts"
    for part, package in (("kernel", found[1]), ("kmod", "kmod")):
        say(f"fetching {package}!")
        (parts / part).mkdir(parents=True)
        apt.download(package, parts / part, source.options)
    _furnish(parts)
    (target / "room").mkdir()
    say("writing the root file system")
    words = [str(built.root), str(parts), str(target), found[1], str(target / "room"), *kernel_recipe.FIRST_MODULES]
    apt.run(["sh", "-ec", kernel_recipe.BUILD, "sh", *words], what="building the kernel's files", timeout_s=300)
    shutil.rmtree(parts)
    (target / "room").rmdir()


def _furnish(parts: Path) -> None:
    init = parts / "init"
    init.write_text(kernel_recipe.INIT)
    init.chmod(0o755)
    for name, content in kernel_recipe.FILES.items():
        path = Path(f"{parts / 'files'}{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    for name, target in kernel_recipe.LINKS.items():
        path = Path(f"{parts / 'files'}{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)


def _prune(built: Image, newest: Path) -> None:
    """Remove what older recipes made for this image, unless a running lab holds the image."""
    with built.lock.open() as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        for folder in built.folder.glob("kernel-*"):
            if folder != newest:
                shutil.rmtree(folder)


def _accelerator(folder: Path, cache: Path, say: Say) -> str:
    """kvm where this kernel boots with it, else tcg; tried once after each boot of the machine."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    stamp = cache / f"accelerator-{boot}"
    if not stamp.exists():
        for old in cache.glob("accelerator-*"):
            old.unlink()
        say("trying KVM")
        stamp.write_text("kvm" if _boots_with_kvm(folder) else "tcg")
    return stamp.read_text()


def _boots_with_kvm(folder: Path) -> bool:
    if not Path("/dev/kvm").exists():
        return False
    argv = [QEMU, "-accel", "kvm", "-cpu", "host", "-m", "256", "-nodefaults", "-display", "none", "-no-reboot"]
    argv += ["-serial", "stdio", "-kernel", str(folder / "kernel"), "-initrd", str(folder / "initrd")]
    argv += ["-append", f"console=ttyS0 quiet {kernel_recipe.TRY_ONLY}"]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=grown_s(TRY_TIMEOUT_S), check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return kernel_recipe.KVM_WORKS.encode() in done.stdout
