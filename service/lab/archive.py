"""Debian's archive of one release, as this machine reaches it.

For the machine's own release that is its apt as it is. For another one the same sources are read for that release
instead (`bookworm-updates` becomes `trixie-updates`), with lists of their own in the image cache: the machine's apt is
not touched. Every list is verified by apt with a key that the machine trusts. Where its keyring is older than that
release, the newest `debian-archive-keyring` of its own release has the keys, verified by those that are there.
"""

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from service.errors import LabError
from service.lab import apt
from service.lab.progress import Say

LONG_NAMES = {"arch": "Architectures", "lang": "Languages", "target": "Targets"}
"""Options of one-line sources whose field in deb822 has another name (sources.list(5))."""
NO_RELEASE_FILE = re.compile(r"The repository '\S+ (\S+) \S+' does not have a Release file")
UNKNOWN_KEY = re.compile(r"NO_PUBKEY|public key is not available|is not signed|Missing key")
ONE_LINE = re.compile(r"(?P<type>deb|deb-src)\s+(\[(?P<options>[^]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<rest>.*)")
CONFIGURATION = """\
#clear APT::Update;
#clear Acquire::Languages;
Acquire::Languages "none";
APT::Sandbox::User "root";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{folder}/sources";
Dir::State::lists "{folder}/lists";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
"""


@dataclass(frozen=True)
class Archive:
    """`options` make apt-get read this archive, `sources` are files that mmdebstrap takes, `lists` the signed lists."""

    suite: str
    options: tuple[str, ...]
    sources: tuple[Path, ...]
    lists: Path


@dataclass(frozen=True)
class SourcesStanza:
    """One stanza of sources.list(5): fields by their names in small letters."""

    fields: dict[str, str] = field(default_factory=dict)

    def of_suite(self, names: dict[str, str], absent: Iterable[str]) -> "SourcesStanza | None":
        """The same source for another release; None when it has nothing of it. `names`: suite here → suite there."""
        suites = [names[word] for word in self.fields.get("suites", "").split() if word in names]
        wanted = [suite for suite in suites if suite not in absent]
        if not wanted or "deb" not in self.fields.get("types", "").split():
            return None
        return SourcesStanza(self.fields | {"types": "deb", "suites": " ".join(wanted), "targets": "Packages"})

    def text(self) -> str:
        """As a stanza."""
        return "".join(f"{name.title()}: {value}\n" for name, value in self.fields.items())


def of_machine() -> Archive:
    """The machine's own release, whose lists are read first if it has none."""
    return Archive(apt.codename(), (), tuple(apt.debian_sources()), apt.lists_folder())


def of(suite: str, cache: Path, say: Say, *, anew: bool = False) -> Archive:
    """The archive of a release. Its lists are as old as the machine's own, or read `anew`. LabError when it cannot be.

    `cache` is a folder for the lists of releases that are not the machine's.
    """
    if anew or not apt.lists(apt.lists_folder()):
        say("reading package lists")
        apt.update(say)
    if suite == apt.codename():
        return of_machine()
    folder = cache / f"archive-{suite}"
    sources = folder / "sources" / "debian.sources"
    archive = Archive(suite, ("-c", str(folder / "apt.conf")), (sources,), folder / "lists")
    stamp, state = folder / "read-with", apt.digest(apt.lists_folder())
    if anew or not stamp.exists() or stamp.read_text() != state:
        stamp.unlink(missing_ok=True)
        _prepare(folder)
        _read(archive, folder, say)
        stamp.write_text(state)
    return archive


def _prepare(folder: Path) -> None:
    for name in ("sources", "lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    (folder / "apt.conf").write_text(CONFIGURATION.format(folder=folder))


def _read(archive: Archive, folder: Path, say: Say) -> None:
    """Write the sources and read their lists; suites that the archive does not have are left out."""
    own, absent, keyring = apt.codename(), set[str](), ""
    names = {here: there for here, there in apt.debian_suites().items() if there.startswith(own)}
    names = {here: archive.suite + there.removeprefix(own) for here, there in names.items()}
    here = [source for path in apt.debian_sources() for source in read(path)]
    for _ in range(len(names) + 2):
        say(f"reading package lists of {archive.suite}")
        there = [moved for source in here if (moved := source.of_suite(names, absent))]
        if keyring:
            there = [replace(source, fields=source.fields | {"signed-by": keyring}) for source in there]
        archive.sources[0].write_text("\n".join(source.text() for source in there))
        try:
            apt.update(say, archive.options)
            return
        except LabError as failure:
            missing = set(NO_RELEASE_FILE.findall(str(failure))) - {archive.suite}
            if missing - absent:
                absent |= missing
            elif not keyring and UNKNOWN_KEY.search(str(failure)):
                keyring = str(_newest_keyring(folder, say))
            else:
                raise
    raise LabError(f"the package lists of {archive.suite} cannot be read", hint="apt-get update, then once more")


def _newest_keyring(folder: Path, say: Say) -> Path:
    """The archive's keys from the newest package of the machine's own, verified release."""
    say("fetching the archive's newest keys")
    unpacked = folder / "keyring"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir()
    apt.download("debian-archive-keyring", unpacked)
    found = unpacked / "usr/share/keyrings"
    for name in ("debian-archive-keyring.pgp", "debian-archive-keyring.gpg"):
        if (found / name).is_file():
            return found / name
    raise LabError("the package debian-archive-keyring has no keyring where it should be")


def read(path: Path) -> list[SourcesStanza]:
    """The sources of a file, one-line or deb822; what is switched off or a comment is left out."""
    text = path.read_text(errors="replace")
    if path.suffix == ".sources":
        stanzas = [_stanza(part) for part in re.split(r"\n[ \t]*\n", text)]
        return [
            SourcesStanza(each)
            for each in stanzas
            if each and each.get("enabled", "yes").lower() not in ("no", "false")
        ]
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return [SourcesStanza(_one_line(found)) for line in lines if (found := ONE_LINE.fullmatch(line))]


def _stanza(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line[0] in " \t" and name:
            between = "\n " if name == "signed-by" else " "  # a key written out keeps its lines
            fields[name] += between + line.strip()
        else:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _one_line(found: re.Match[str]) -> dict[str, str]:
    fields = {"types": found["type"], "uris": found["uri"], "suites": found["suite"]}
    fields["components"] = found["rest"].strip()
    for option in (found["options"] or "").split():
        name, _, value = option.partition("=")
        name = name.rstrip("+-")
        fields[LONG_NAMES.get(name, name).lower()] = value.replace(",", " ")
    return fields
