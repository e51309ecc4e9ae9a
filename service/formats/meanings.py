"""What our own files mean to their readers, field by field: the form in which they are compared."""

import hashlib
from collections.abc import Mapping

from service.formats import dnsmasq, fail2ban, nat_rules
from service.model.states import Json


def of_dnsmasq(content: bytes) -> Mapping[str, Json]:
    """{directive: [value, …]} of a dnsmasq configuration file, values in canonical form (dnsmasq(8))."""
    fields: dict[str, list[Json]] = {}
    for directive in dnsmasq.parse(content, "").directives:
        fields.setdefault(directive.key, []).append(dnsmasq.canonical_value(directive.key, directive.value))
    return {key: [*sorted(values, key=str)] for key, values in fields.items()}


def of_exact(content: bytes) -> Mapping[str, Json]:
    """{"content": digest}: every byte counts, because a digest of the file says what a program has read."""
    return {"content": hashlib.sha256(content).hexdigest()}


def of_dhcp_hosts(content: bytes) -> Mapping[str, Json]:
    """{mac: the rest} of a `dhcp-hostsdir` file; what only sets a tag is below that tag: {tag: [rest, …]}."""
    fields: dict[str, Json] = {}
    tagged: dict[str, list[Json]] = {}
    for line in content.decode("utf-8", "replace").splitlines():
        text = line.split("#", 1)[0].strip()
        if text:
            first, _, rest = text.partition(",")
            said = ",".join(part.strip() for part in rest.split(","))
            if first.startswith("set:"):
                tagged.setdefault(first.strip(), []).append(said)
            else:
                fields[first.strip().lower()] = said
    return fields | {tag: [*sorted(names, key=str)] for tag, names in tagged.items()}


def of_jails(content: bytes) -> Mapping[str, Json]:
    """{"section.key": value} of a file of fail2ban's."""
    sections = fail2ban.parse(content)
    return {f"{name}.{key}": value for name, keys in sections.items() for key, value in keys.items()}


def of_sysctl(content: bytes) -> Mapping[str, Json]:
    """{key: value} of a sysctl.d(5) file; the later line wins, `/` and `.` name the same key."""
    fields: dict[str, Json] = {}
    for line in content.decode("utf-8", "replace").splitlines():
        text = line.strip()
        if text and text[0] not in "#;" and "=" in text:
            key, _, value = text.partition("=")
            fields[key.strip().lstrip("-").replace("/", ".")] = " ".join(value.split())
    return fields


def of_modules(content: bytes) -> Mapping[str, Json]:
    """{"modules": [name, …]} of a modules-load.d(5) file."""
    lines = (line.strip() for line in content.decode("utf-8", "replace").splitlines())
    return {"modules": [line for line in lines if line and line[0] not in "#;"]}


def of_nft(content: bytes) -> Mapping[str, Json]:
    """{"ruleset": [token, …]} of an nft script: comments and blanks do not count."""
    return {"ruleset": [*nat_rules.file_tokens(content)]}


def of_unit(content: bytes) -> Mapping[str, Json]:
    """{"Section.Key": [value, …]} of a systemd unit file, in the order given (systemd.syntax(7))."""
    fields: dict[str, list[Json]] = {}
    section = ""
    for line in content.decode("utf-8", "replace").splitlines():
        text = line.strip()
        if not text or text[0] in "#;":
            continue
        if text.startswith("["):
            section = text.strip("[]")
        elif "=" in text:
            key, _, value = text.partition("=")
            fields.setdefault(f"{section}.{key.strip()}", []).append(value.strip())
    return {key: [*values] for key, values in fields.items()}
