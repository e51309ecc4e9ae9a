"""Units that the next boot does not start, or that load a packet filter then: what the connection needs of them."""

import re
from collections.abc import Iterator, Sequence

from service.model.facts import Step
from service.model.observed import HostObserved
from service.model.states import Json, Seen
from service.observe.at_boot import LOADERS, SSH_UNITS, loaded_since
from service.observe.runner import STARTS

_COMMENT = re.compile(r"#[^\n]*")
_NFT_STOPS = re.compile(r"\b(drop|reject|include)\b")
_IPTABLES_STOPS = re.compile(r"^(:INPUT DROP|-[AI] INPUT .*-j (DROP|REJECT))", re.MULTILINE)


def stopped_at_boot(observed: HostObserved, steps: Sequence[Step]) -> Iterator[tuple[str, str]]:
    """Units that matter and do not start at boot, and loaders of a packet filter that might stop the connection."""
    changed = {step.fact: step.after for step in steps if step.fact.startswith("unit:")}
    states: dict[str, Json] = {}
    for name in (*SSH_UNITS, *LOADERS):
        seen = observed.fact(f"unit:{name}")
        value = seen.value if isinstance(seen, Seen) and isinstance(seen.value, dict) else {}
        wanted = changed.get(f"unit:{name}")
        states[name] = {**value, **wanted} if isinstance(wanted, dict) else value
    ssh = {name: state.get("enabled") for name in SSH_UNITS if isinstance(state := states[name], dict) and state}
    if ssh and all(enabled in ("disabled", "masked") for enabled in ssh.values()):
        yield "ssh", f"no SSH server starts: {', '.join(f'{name} is {state}' for name, state in sorted(ssh.items()))}"
    for name, file in LOADERS.items():
        state, text = states[name], observed.texts.get(file)
        enabled = isinstance(state, dict) and state.get("enabled") == "enabled"
        starts_now = isinstance(wanted := changed.get(f"unit:{name}"), dict) and wanted.get("active") is True
        if not enabled or not isinstance(text, Seen) or not may_stop(file, text.value):
            continue
        if not loaded_since(observed, name, file) and not (starts_now and not was_active(observed, name)):
            yield name, f"{name} loads {file}, which drops packets and was not loaded since it changed"


def starts_at_boot(observed: HostObserved, unit: str) -> bool:
    """Whether a unit is known to start at boot."""
    seen = observed.fact(f"unit:{unit}")
    return isinstance(seen, Seen) and isinstance(seen.value, dict) and seen.value.get("enabled") in STARTS


def was_active(observed: HostObserved, unit: str) -> bool:
    """Whether a unit is active now."""
    seen = observed.fact(f"unit:{unit}")
    return isinstance(seen, Seen) and isinstance(seen.value, dict) and seen.value.get("active") is True


def may_stop(path: str, text: bytes) -> bool:
    """Whether a packet filter's file could keep somebody out; one that includes others could."""
    said = text.decode("utf-8", "replace")
    if path.endswith(".conf"):
        return _NFT_STOPS.search(_COMMENT.sub("", said)) is not None
    return _IPTABLES_STOPS.search(said) is not None
