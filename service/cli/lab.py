"""`passerelle lab`: real Debian hosts, guests, a router and an internet on this machine."""

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from service.cli.output import Format

if TYPE_CHECKING:
    from service.lab import Lab, VirtualHost

LONGEST_COMMAND_S = 3600.0

app = App(
    name="lab",
    help="""Real Debian hosts on this machine, to try a configuration.

Each host has systemd, sshd and ifupdown2, an uplink to a provider's router, and guests behind a bridge. Needs root
on a Debian machine; nothing leaves the lab, and nothing of it is left when it ends. The first start builds the
hosts' image from this machine's own package sources (about a minute); later starts take a second or two.

A first round:

    passerelle lab up --hosts pve1,pve2 --guests pve1/dev,pve1/alpine=silent
    passerelle lab exec pve1 -- ip -br addr
    passerelle lab status
    passerelle lab down""",
)

Name = Annotated[str, Parameter(name=["--name", "-n"])]
Output = Annotated[Format, Parameter(name=["--output", "-o"])]


@app.command
def up(
    *,
    name: Name = "lab",
    hosts: str = "pve1",
    suite: str = "",
    kernel: str = "machine",
    guests: str = "",
    disk: int = 512,
    acme: Annotated[bool, Parameter(negative="")] = False,
    output: Output = "table",
) -> None:
    """Start a lab and boot its hosts. It runs until `passerelle lab down`.

    Parameters
    ----------
    name
        Labs with different names run side by side, with the same addresses.
    hosts
        Host names with commas between; the first gets 198.51.100.11. HOST=SUITE is a host of another Debian release.
    suite
        The hosts' Debian release: bookworm (12) or trixie (13). Default: the release of this machine.
    kernel
        machine: the hosts are containers on this machine's kernel. debian: QEMU boots them with Debian's own kernel,
        which knows VLANs, VLAN filtering, bonds and WireGuard. A boot takes some 20 s of a processor without KVM.
    guests
        HOST/GUEST or HOST/GUEST=SORT with commas between. Sorts: named (DHCP, sends its name), silent (DHCP without a
        name), static:10.10.10.50/24. A guest starts as soon as its host has the bridge vmbr0.
    disk
        Size of each host's disk in MiB, held in memory as it fills.
    acme
        With a certificate authority and a public name server outside, and Python packages for the guests' program.
    output
        table or json.
    """
    from service.cli.output import tell
    from service.errors import InputError
    from service.lab import Lab

    words = [word.strip().partition("=") for word in hosts.split(",") if word.strip()]
    if not (names := [host for host, _, _ in words]):
        raise InputError("a lab needs a host", hint="--hosts pve1")
    suites = {host: of_host for host, _, of_host in words if of_host}
    planned = [guest_of(word.strip(), names) for word in guests.split(",") if word.strip()]
    if planned and kernel != "machine":
        raise InputError("the lab's guests live in this machine's kernel", hint="leave out --guests or --kernel")
    lab = Lab.up(name, hosts=names, suite=suite, suites=suites, kernel=kernel, disk_mib=disk, outlive=True)
    try:
        for host, guest in planned:
            lab.host(host).guest_add(**guest)
        if acme:
            start_acme(lab)
    except BaseException:
        lab.down()
        raise
    show([lab.described()], output)
    tell(f"the key that logs in to every host as root: {lab.key}")
    tell(f"console: passerelle lab exec -n {name} {names[0]} -- bash; end: passerelle lab down -n {name}")


def start_acme(lab: "Lab") -> None:
    """Start the authority and the index of Python packages, and say where they are."""
    from importlib.resources import as_file, files

    from service.cli.output import tell
    from service.lab.acme import Acme

    started = Acme.start(lab)
    with as_file(files("service.guestside") / "requirements.txt") as requirements:
        lab.offer_python(requirements)
    tell(f"certificate authority: {started.directory}, its own CA: {started.folder / 'ca.pem'}")


@app.command
def down(*, name: Name = "lab", every: Annotated[bool, Parameter(name="--all", negative="")] = False) -> None:
    """End a lab with everything in it, at once.

    Parameters
    ----------
    name
        Which lab.
    every
        All labs that run on this machine.
    """
    from service.cli.output import tell
    from service.lab import Lab, state

    state.sweep()
    for one in state.running() if every else [name]:
        Lab.attach(one).down()
        tell(f"lab {one} is gone")


@app.command
def status(*, name: Annotated[str | None, Parameter(name=["--name", "-n"])] = None, output: Output = "table") -> None:
    """Show the labs that run, with their hosts and guests.

    Parameters
    ----------
    name
        Only this lab; an error if it does not run.
    output
        table or json.
    """
    from service.errors import LabError
    from service.lab import Lab, state

    state.sweep()
    described = []
    for one in [name] if name else state.running():
        try:
            described.append(Lab.attach(one).described())
        except LabError:
            if name is not None:
                raise
            # it ended during the request: it no longer runs
    show(described, output)


@app.command(name="exec")
def exec_(
    host: str,
    /,
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    name: Annotated[str | None, Parameter(name=["--name", "-n"])] = None,
    guest: str | None = None,
    netns: str | None = None,
) -> None:
    """Run a command at a host's console: `passerelle lab exec HOST -- COMMAND`.

    This works without SSH. Input, output, terminal and exit code are those of the command. Default: a shell.
    The console of a host that QEMU boots has no terminal: input is read to its end, then the command runs.

    Parameters
    ----------
    host
        The host's name. With --netns there is no host: the command begins here.
    command
        What to run, after `--`.
    name
        The lab. Default: the running one, or of several the one named lab.
    guest
        Run in this guest of the host instead.
    netns
        Run a program of this machine in a network of the lab instead: ctl (where the controller is), inet (outside),
        provider (the router between).
    """
    from service.lab import Lab, VirtualHost, enter, state

    running = state.running() if name is None else []
    lab = Lab.attach(name or (running[0] if len(running) == 1 else "lab"))
    if netns is not None:
        argv = enter.network(lab.netns(netns), (host, *command))
    else:
        place = lab.host(host)
        if isinstance(place, VirtualHost):
            sys.exit(run_without_terminal(place, command))
        leader = place.console_pid if guest is None else place.guest(guest).pid
        argv = enter.whole(leader, command or ("/bin/bash", "-l"))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvpe(argv[0], argv, enter.environment())  # noqa: S606 (an argument list, no shell)


def run_without_terminal(host: "VirtualHost", command: tuple[str, ...]) -> int:
    """Run a command with the whole input, print what it printed, and return its exit code."""
    from service.errors import InputError

    if not command:
        raise InputError(f"the console of {host.name} has no terminal for a shell", hint="name a command after --")
    given = b"" if sys.stdin.isatty() else sys.stdin.buffer.read()
    done = host.exec(command, input=given, timeout_s=LONGEST_COMMAND_S)
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    return done.returncode


@app.command
def image(*, suite: str = "", kernel: str = "machine", output: Output = "table") -> None:
    """Build the hosts' image now, if it is not in the cache; `PASSERELLE_LAB_CACHE` says where that is.

    Parameters
    ----------
    suite
        The Debian release: bookworm (12) or trixie (13). Default: the release of this machine.
    kernel
        debian: also what `lab up --kernel debian` needs.
    output
        table or json.
    """
    from service.cli.output import show_json, show_table
    from service.lab import image as images
    from service.lab import preflight, second_kernel

    preflight.require()
    wanted = second_kernel.known(kernel)
    built = images.ensure(suite)
    if wanted == "debian":
        second_kernel.ensure(built)
    row = {"suite": built.suite, "key": built.key, "root": str(built.root)}
    if output == "json":
        show_json(row)
    else:
        show_table(("suite", "key", "root"), [row], empty="")


def guest_of(word: str, hosts: list[str]) -> tuple[str, dict[str, Any]]:
    """HOST/GUEST=SORT as (host, arguments of guest_add)."""
    from service.errors import InputError

    place, _, sort = word.partition("=")
    host, slash, guest = place.partition("/")
    sort, _, address = (sort or "named").partition(":")
    if not slash or not guest or host not in hosts:
        raise InputError(f"{word!r} is not a guest of a host of this lab", hint=f"--guests {hosts[0]}/dev=named")
    return host, {"name": guest, "sort": sort, "address": address}


def show(labs: list[dict[str, Any]], output: Format) -> None:
    """The labs with all that is in them, as `Lab.described` says."""
    from service.cli.output import show_json, show_table

    if output == "json":
        show_json(labs)
        return
    rows = [
        {
            "lab": lab["name"],
            "host": host["name"],
            "suite": host.get("suite", ""),  # a lab that an older version started says none
            "address": host["address"],
            "state": host["state"],
            "boots": host["boots"],
            "guests": [shown_guest(guest) for guest in host["guests"]],
        }
        for lab in labs
        for host in lab["hosts"]
    ]
    columns = ("lab", "host", "suite", "address", "state", "boots", "guests")
    show_table(columns, rows, empty="no lab runs: start one with `passerelle lab up`")


def shown_guest(guest: dict[str, Any]) -> str:
    """A guest in one word or two: its name, and its address or why it has none."""
    if guest["state"] != "running":
        return f"{guest['name']} ({guest['state']})"
    return f"{guest['name']} {guest['address'] or '(no address)'}"
