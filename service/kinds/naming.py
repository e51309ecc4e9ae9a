"""Which guests are named without standing in the spec: those on bridges with DHCP, by their own settings."""

from collections.abc import Sequence

from service.kinds.claims import Claim, NamesBySettings, NamesGuests, Serves


def named_by_settings(claims: Sequence[Claim]) -> tuple[str, ...]:
    """The bridges whose guests are named by their own settings: where the spec speaks of guests at all."""
    if not any(isinstance(claim, NamesGuests) for claim in claims) or NamesBySettings(wanted=False) in claims:
        return ()
    served = (claim.interface for claim in claims if isinstance(claim, Serves) and claim.protocol == "dhcp")
    return tuple(dict.fromkeys(served))
