"""The `ovs_options` of an Open vSwitch port: words of the form key=value; other words are dropped once one is changed.

Proxmox writes them in no fixed order. Here they keep theirs, and new ones come last.
"""


def _options(settings: dict[str, str | int]) -> dict[str, str]:
    words = str(settings.get("ovs_options", "")).encode("latin-1").split()
    pairs = (word.decode("latin-1").partition("=") for word in words)
    return {key: value for key, equals, value in pairs if equals and key not in ("", "0")}


def _keep(settings: dict[str, str | int], options: dict[str, str]) -> None:
    if options:
        settings["ovs_options"] = " ".join(f"{key}={value}" for key, value in options.items())
    else:
        settings.pop("ovs_options", None)


def take_option(settings: dict[str, str | int], key: str) -> str | None:
    """Take one option out; None if it is not there."""
    options = _options(settings)
    value = options.pop(key, None)
    _keep(settings, options)
    return value


def put_options(settings: dict[str, str | int], **new: str | None) -> None:
    """Set options; one without a value is removed."""
    options = _options(settings)
    for key, value in new.items():
        if value in (None, "", "0"):
            options.pop(key, None)
        else:
            options[key] = str(value)
    _keep(settings, options)
