"""pct(1) of Proxmox as far as passerelle calls it: a program that rejects every other command, option and value.

Written after pct(1) of Proxmox VE 8.4: the options of `create` and `set`, the forms of netN, mpN and rootfs, its words
for a number that is taken. It keeps settings in /etc/pve/lxc/NUMBER.conf, as Proxmox does.
"""

PCT = r"""#!/usr/bin/python3 -IS
import os, re, sys

here = os.path.dirname(os.path.abspath(__file__))
root = os.path.dirname(here)
words = sys.argv[1:]
NAME = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
PATH = r"/[A-Za-z0-9/._-]+"
OPTIONS = {
    "--hostname": NAME, "--ostype": "debian", "--unprivileged": "1", "--features": "nesting=1", "--onboot": "[01]",
    "--net0": r"name=eth0,bridge=[A-Za-z][A-Za-z0-9._-]{0,14},hwaddr=[0-9A-F]{2}(?::[0-9A-F]{2}){5},ip=dhcp",
    "--rootfs": r"[A-Za-z][A-Za-z0-9._-]*:[1-9][0-9]*",
}
MOUNT = rf"{PATH},mp={PATH}(?:,ro=1)?"
TAKES = {"create": {*OPTIONS, "--mp"}, "set": {"--onboot", "--mp"}}


def fail(text):
    sys.stderr.write(text + "\n")
    sys.exit(255)


VERBS = ("create", "set", "start", "status", "exec")
if len(words) < 2 or words[0] not in VERBS or not re.fullmatch("[1-9][0-9]{2,8}", words[1]):
    fail("ERROR: unknown command")
verb, number, rest = words[0], words[1], words[2:]
conf = f"{root}/etc/pve/lxc/{number}.conf"
with open(f"{here}/pct.said", "a") as file:
    file.write(" ".join(words) + "\n")
if verb == "create":
    if os.path.exists(conf):
        fail(f"CT {number} already exists on node 'pve'")
    if not rest or not re.fullmatch(PATH + r"\.tar\.zst", rest[0]):
        fail("400 not enough arguments")
    rest = rest[1:]
elif not os.path.exists(conf):
    fail(f"Configuration file 'nodes/pve/lxc/{number}.conf' does not exist")
if verb in TAKES:
    given = {}
    while rest:
        option, value = rest[0], rest[1] if len(rest) > 1 else ""
        kind = re.sub("[0-9]+$", "", option) if option.startswith("--mp") else option
        form = MOUNT if kind == "--mp" else OPTIONS.get(option, "(?!)")
        if kind not in TAKES[verb] or not re.fullmatch(form, value) or option in given:
            fail(f"400 Parameter verification failed.\n{option}: invalid")
        given[option] = value
        rest = rest[2:]
    if verb == "create" and not {"--hostname", "--net0", "--rootfs"} <= set(given):
        fail("400 Parameter verification failed.")
    old = open(conf).read() if verb == "set" else ""
    kept = [line for line in old.splitlines() if "--" + line.split(":")[0] not in given]
    with open(conf, "w") as file:
        file.write("".join(f"{option[2:]}: {value}\n" for option, value in given.items()))
        file.write("".join(f"{line}\n" for line in kept))
elif verb == "status":
    print("status: " + ("running" if os.path.exists(f"{here}/pct.running.{number}") else "stopped"))
elif verb == "start":
    open(f"{here}/pct.running.{number}", "w").close()
elif verb == "exec":
    if rest[:1] != ["--"] or len(rest) < 2:
        fail("400 not enough arguments")
    os.execvp(rest[1], rest[1:])
"""
