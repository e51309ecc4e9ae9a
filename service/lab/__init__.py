"""The lab: real Debian hosts, guests behind them, a provider's router and an internet, on one Linux machine.

    with Lab.up("trial", hosts=["pve1", "pve2"]) as lab:        # root; image built once, then about 1 s a host
        host = lab.host("pve1")                                 # .address .port .host_key .name
        asyncssh.connect(host.address, sock=lab.dial(host.address, host.port), client_keys=[str(lab.key)], …)
        host.exec(["ip", "-j", "addr"], input=None, timeout_s=30, check=False)   # the console, not SSH → Completed
        host.sh("echo 1 > /proc/sys/net/ipv4/ip_forward")       # stdout; LabError on failure
        host.read("/etc/network/interfaces"); host.write(path, content, mode=0o644)
        host.reboot(); host.power_cut(); host.power_off(); host.power_on(); host.freeze(); host.thaw()
        host.fresh(files={"/etc/network/interfaces": b"…"})     # new disk, new boot: about 1 s
        host.keep_disk("mine"); host.fresh(disk="mine")         # off, its disk copied; any host can start over on it
        host.fresh(suite="trixie"); lab.add_host("pve3", suite="bookworm")      # Debian 13, 12; several in one lab
        host.boot_id(); host.wait_for_ssh(timeout_s); host.wait_until_up(timeout_s); host.console_pid
        dev = host.guest_add("dev")                             # starts once vmbr0 exists, and after each boot
        host.guest_add("alpine", sort="silent"); host.guest_add("box", sort="static", address="10.10.10.50/24")
        dev.wait_for_address(); dev.renew(); dev.exec(["ping", "-c1", "box"]); dev.is_plugged(); dev.mac; dev.veth
        vm = lab.add_host("pve4", kernel="debian", cards=2)     # QEMU, Debian's kernel: VLANs, bonds
        with vm.unplugged(2): …                                 # enp2s0 loses its carrier
        with host.faults.partition(): …                         # faults.py: each is a context manager
        lab.run_in("ctl", ["curl", "http://198.18.0.80/"])      # this machine's programs in the controller's network
        port = lab.forward(0, "ctl", 8080)                      # 127.0.0.1:port here → 127.0.0.1:8080 in ctl

`Lab.attach(name)` finds a lab that runs. A lab of `Lab.up` dies with the process that started it, however that
ends; `outlive=True` makes it stay until `down()`. `lab.netns("ctl")` is a path for `nsenter --net=`.

Addresses (addresses.py): hosts 198.51.100.11 and up behind the router 198.51.100.1; the controller's network `ctl`
198.18.0.10; the internet `inet` 198.18.0.80. The internet has a route to the hosts and none to networks behind them.
There: http://198.18.0.80/ answers with the client's address, a name server knows `www.inet.example`, and the hosts' apt
repository (dnsmasq, fail2ban, bind9 with what they need) is http://deb.lab.example/debian/SUITE.

A host is a provider's plain Debian 12 (bookworm) or 13 (trixie): ifupdown2 with lo and enp1s0 (static, gateway), sshd
with key login for root, BIND running, dnsmasq not installed. Errors are LabError with what to do next.
"""

from service.lab.guest import Guest
from service.lab.host import Host
from service.lab.lab import Lab
from service.lab.virtual_host import VirtualHost

__all__ = ["Guest", "Host", "Lab", "VirtualHost"]
