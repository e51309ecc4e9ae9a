"""What a host with Debian's own kernel has next to the lab's image. Constants only; they are part of the cache key.

The root file system is the image's, read-only, with the host's own disk over it, as on a host in a container.
"""

from pathlib import Path

METAPACKAGE = "linux-image-cloud-amd64"
"""Has 802.1q, bonding, bridges with VLAN filtering, WireGuard and the devices of QEMU."""
FIRST_MODULES = ("virtio_pci", "virtio_blk", "overlay", "virtio_net", "virtio_console")
"""Loaded before the root file system is there, each with those that it needs. All others are loaded when used."""
AGENT = "/usr/local/lib/lab/console"
NETWORK_CARDS = "host0"
"""The image's lab-uplink.service names this card enp1s0."""
KVM_WORKS = "lab: the kernel runs"
TRY_ONLY = "lab.try"
"""A word on the kernel's command line: it says KVM_WORKS and switches itself off."""

CONSOLE_UNIT = f"""\
[Unit]
Description=The lab's console
DefaultDependencies=no
Before=shutdown.target
Conflicts=shutdown.target

[Service]
ExecStart=/usr/bin/python3 -I {AGENT}
Restart=always
RestartSec=0

[Install]
WantedBy=sysinit.target
"""

INIT = f"""\
#!/bin/busybox sh
# /init of the initial file system: the modules, the two disks, then the host's own systemd.
b=/bin/busybox
$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
case "$($b cat /proc/cmdline)" in
*{TRY_ONLY}*)
    echo "{KVM_WORKS}"
    $b poweroff -f
    ;;
esac
while read -r module; do $b insmod "/modules/$module"; done < /modules/order
$b ip link set eth0 name {NETWORK_CARDS}
n=1
while $b ip link set "eth$n" name "enp$((n + 1))s0" 2>/dev/null; do n=$((n + 1)); done
$b mount -t ext4 -o ro /dev/vda /base
$b mount -t ext4 -o noatime /dev/vdb /disk
$b mount -t overlay -o lowerdir=/base,upperdir=/disk/upper,workdir=/disk/work overlay /new
$b mount --move /dev /new/dev
$b umount /proc
exec $b switch_root /new /sbin/init
"""

FILES: dict[str, str] = {
    AGENT: (Path(__file__).parent / "console_agent.py").read_text(encoding="utf-8"),
    "/etc/systemd/system/lab-console.service": CONSOLE_UNIT,
}
LINKS: dict[str, str] = {
    "/etc/systemd/system/sysinit.target.wants/lab-console.service": "/etc/systemd/system/lab-console.service",
    "/etc/systemd/system/serial-getty@ttyS0.service": "/dev/null",
}

BUILD = r"""
# IMAGE PARTS TO ROOM NAME: the root file system with the kernel's modules as TO/root.ext4, and TO/kernel, TO/initrd.
image=$1 parts=$2 to=$3 name=$4 room=$5
shift 5
mount -t tmpfs -o mode=0755 tmpfs "$room"
mkdir "$room/own" "$room/work" "$room/root" "$room/first"
mount -t overlay -o "lowerdir=$image,upperdir=$room/own,workdir=$room/work" overlay "$room/root"
for part in kernel kmod files; do
    tar -C "$parts/$part" --exclude './*.deb' --exclude ./boot --exclude ./usr/share -c . |
        tar -C "$room/root" --keep-directory-symlink --no-overwrite-dir -x
done
version=${name#linux-image-}
chroot "$room/root" depmod "$version"
cp "$parts/kernel/boot/vmlinuz-$version" "$to/kernel"

cd "$room/first"
mkdir bin dev proc base disk new modules
cp "$image/usr/bin/busybox" bin/
cp "$parts/init" init
for module in "$@"; do chroot "$room/root" modprobe -S "$version" --show-depends "$module"; done |
    awk '$1 == "insmod" && !seen[$2]++ { print $2 }' > "$room/order"
while read -r path; do
    file=$(basename "$path")
    case "$file" in
    *.xz) file=${file%.xz}; xz -dc "$room/root$path" > "modules/$file" ;;
    *.zst) file=${file%.zst}; zstd -dcq "$room/root$path" > "modules/$file" ;;
    *) cp "$room/root$path" "modules/$file" ;;
    esac
    echo "$file" >> modules/order
done < "$room/order"
find . | "$image/usr/bin/busybox" cpio -o -H newc > "$to/initrd"
mke2fs -q -t ext4 -O ^has_journal -m 0 -d "$room/root" "$to/root.ext4" 2G
"""


def text() -> str:
    """Everything above that decides what is built, for the cache key."""
    return repr((METAPACKAGE, FIRST_MODULES, INIT, FILES, LINKS, BUILD))
