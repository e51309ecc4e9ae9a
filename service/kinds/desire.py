"""From a host's spec to everything that is wanted on the host."""

from collections.abc import Sequence

from service.kinds.kind import Kind
from service.observe.at_boot import WAY_IN_WATCH
from service.observe.pve_node import NODE_WATCH
from service.resources.desired import Desired
from service.resources.ending import shared
from service.spec.host import HostSpec
from service.spec.models import claims_of


def desire(spec: HostSpec, kinds: Sequence[Kind]) -> Desired:
    """Claims of all kinds first, then the resources of all kinds; deterministic and free of the kinds' order."""
    claims = claims_of(spec, kinds)
    resources = [resource for kind in kinds for resource in kind.desire(spec.sections.get(kind.name), spec, claims)]
    resources += shared(resources)
    watched = WAY_IN_WATCH | NODE_WATCH if spec.platform == "proxmox" else WAY_IN_WATCH
    for kind in kinds:
        watched |= kind.watch()
    return Desired.of(spec.name, resources, watched)
