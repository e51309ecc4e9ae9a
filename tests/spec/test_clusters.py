"""Hosts of a Proxmox cluster: one of them writes what is the cluster's."""

from collections.abc import Callable

from service.spec.fleet import Fleet


def of_cluster(host: str, name: str, number: int, cluster: str = "cluster: paris\n") -> str:
    text = host.replace("platform: debian", f"platform: proxmox\n{cluster}".rstrip()).replace(
        "host: pve1", f"host: {name}"
    )
    text = text.replace("198.51.100.11", f"198.51.100.{number}").replace("BC:24:11:00:00", f"BC:24:11:00:{number:02}")
    return text.replace("firewall: {rules: [{type: in, action: accept, macro: SSH}]}\n", "")


def test_the_first_host_of_a_cluster_writes_and_one_alone_writes_for_itself(
    read: Callable[..., Fleet], host: str
) -> None:
    files = {f"hosts/{name}.yaml": of_cluster(host, name, 20 + n) for n, name in enumerate(("b", "a", "c"))}
    files["hosts/alone.yaml"] = of_cluster(host, "alone", 30, "")
    fleet = read(files)
    assert not fleet.has_errors, fleet.findings
    assert {name: spec.writes_cluster for name, spec in fleet.hosts.items()} == {
        "a": True, "b": False, "c": False, "alone": True,
    }  # fmt: skip


def test_a_host_without_proxmox_is_in_no_cluster(read: Callable[..., Fleet], host: str) -> None:
    fleet = read({"hosts/pve1.yaml": host.replace("sync: auto", "sync: auto\ncluster: paris")})
    [found] = [found for found in fleet.findings if found.severity == "error"]
    assert f"{found} [{found.rule}]" == (
        "hosts/pve1.yaml:4:10: cluster: only Proxmox hosts have a cluster, and pve1 is debian. Fix: remove `cluster`, "
        "or write `platform: proxmox` [host.cluster]"
    )
