"""Signed commits, with the real git, ssh-keygen and gpg: which history is followed, and which is not."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forge import Forge

from service.git.mirror import Mirror
from service.git.source import parse_source
from service.git.trust import Trust
from service.lab.waiting import grown_s
from service.model.sources import Advanced, Failed, Rewound, Unchanged, Unverified
from tests.documents import run_by
from tests.git.keys import PgpKeys, SshKey, push_signed

OLD = "20200101T000000"

Sign = Callable[..., str]


@pytest.fixture
def sign(forge: Forge) -> Sign:
    """Push a commit that is signed with these settings of git."""
    count = iter(range(1000))
    return lambda settings=(): push_signed(forge, {"fleet.yaml": f"# {next(count)}\n"}, list(settings))


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SshKey]:
    folder = tmp_path_factory.mktemp("ssh")
    return {who: SshKey.made(folder, who) for who in ("ann", "bob", "stranger")}


@pytest.fixture(scope="module")
def pgp() -> Iterator[PgpKeys]:
    keys = PgpKeys()
    try:
        for who in ("ann", "revoked", "stranger"):
            keys.make(who)
        keys.make("expired", at=OLD, ends="seconds=86400")
        yield keys
    finally:
        keys.end()


@pytest.fixture
def by_ssh(forge: Forge, room: Path, tmp_path: Path, ssh: dict[str, SshKey]) -> Mirror:
    signers = tmp_path / "allowed_signers"
    signers.write_text(ssh["ann"].allowed() + ssh["bob"].allowed(',valid-before="20201231Z"'))
    return Mirror(room, parse_source(str(forge.path), "main"), trust=Trust("ssh", signers))


def test_every_commit_needs_a_signature_of_a_signer(by_ssh: Mirror, sign: Sign, ssh: dict[str, SshKey]) -> None:
    first = sign(ssh["ann"].settings())
    assert by_ssh.fetch(None) == Advanced(first)
    good = [sign(ssh["ann"].settings()) for _ in range(3)]
    assert by_ssh.fetch(first) == Advanced(good[-1], first)
    assert by_ssh.fetch(good[-1]) == Unchanged(good[-1])


@pytest.mark.parametrize("place", [0, 4, 9])
def test_one_unsigned_commit_among_ten_stops_all(
    by_ssh: Mirror, sign: Sign, ssh: dict[str, SshKey], place: int
) -> None:
    first = sign(ssh["ann"].settings())
    pushed = [sign([] if number == place else ssh["ann"].settings()) for number in range(10)]
    for _ in range(2):  # and again, for nothing of it is remembered as good
        assert by_ssh.fetch(first) == Unverified(pushed[-1], pushed[place], "has no signature", 1, 10)


def test_a_side_branch_that_was_merged_is_checked_too(
    by_ssh: Mirror, forge: Forge, sign: Sign, ssh: dict[str, SshKey]
) -> None:
    first = sign(ssh["ann"].settings())
    side = forge.commit_tree(forge.tree({"a": "b"}), first)
    flags = [word for one in ssh["ann"].settings() for word in ("-c", one)]
    merged = forge.git(*flags, "commit-tree", "-S", forge.tree({"a": "c"}), "-p", first, "-p", side, "-m", "merge")
    forge.git("update-ref", "refs/heads/main", merged)
    assert by_ssh.fetch(first) == Unverified(merged, side, "has no signature", 1, 2)


def test_a_key_of_nobody_and_one_that_is_out_of_date_do_not_count(
    by_ssh: Mirror, sign: Sign, ssh: dict[str, SshKey]
) -> None:
    first = sign(ssh["ann"].settings())
    for who in ("stranger", "bob"):
        bad = sign(ssh[who].settings())
        found = by_ssh.fetch(first)
        assert isinstance(found, Unverified)
        assert "SHA256:" in found.why
        assert (found.new, found.wrong) == (bad, 1 if who == "stranger" else 2)


def test_a_revoked_key_does_not_count(
    forge: Forge, room: Path, tmp_path: Path, sign: Sign, ssh: dict[str, SshKey]
) -> None:
    signers, revoked = tmp_path / "allowed_signers", tmp_path / "revoked"
    signers.write_text(ssh["ann"].allowed() + ssh["bob"].allowed())
    revoked.write_text(ssh["bob"].public + "\n")
    mirror = Mirror(room, parse_source(str(forge.path), "main"), trust=Trust("ssh", signers, revoked))
    first = sign(ssh["ann"].settings())
    assert mirror.fetch(None) == Advanced(first)
    bad = sign(ssh["bob"].settings())
    found = mirror.fetch(first)
    assert isinstance(found, Unverified)
    assert (found.commit, found.wrong) == (bad, 1)


def test_a_change_of_the_signers_counts_at_the_next_look(
    forge: Forge, room: Path, tmp_path: Path, sign: Sign, ssh: dict[str, SshKey]
) -> None:
    signers = tmp_path / "allowed_signers"
    signers.write_text(ssh["ann"].allowed())
    mirror = Mirror(room, parse_source(str(forge.path), "main"), trust=Trust("ssh", signers))
    first = sign(ssh["ann"].settings())
    second = sign(ssh["bob"].settings())
    assert isinstance(mirror.fetch(first), Unverified)
    signers.write_text(ssh["ann"].allowed() + ssh["bob"].allowed())
    assert mirror.fetch(first) == Advanced(second, first)
    signers.write_text(ssh["ann"].allowed())
    assert isinstance(mirror.fetch(first), Unverified)


def test_a_changed_commit_has_a_wrong_signature(
    by_ssh: Mirror, forge: Forge, sign: Sign, ssh: dict[str, SshKey]
) -> None:
    first = sign(ssh["ann"].settings())
    text = forge.git("cat-file", "commit", first).replace("ada@example.org", "eve@example.org") + "\n"
    forged = forge.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=text.encode())
    forge.git("update-ref", "refs/heads/main", forged)
    found = by_ssh.fetch(None)
    assert isinstance(found, Unverified)
    assert found.why == "has a signature that is wrong"


def test_a_pgp_signature_does_not_count_where_ssh_is_wanted_nor_the_other_way(
    by_ssh: Mirror, forge: Forge, room: Path, tmp_path: Path, sign: Sign, ssh: dict[str, SshKey], pgp: PgpKeys
) -> None:
    keys = tmp_path / "keys.asc"
    keys.write_bytes(pgp.export("ann"))
    sign(pgp.settings("ann", tmp_path))
    assert isinstance(by_ssh.fetch(None), Unverified)
    by_pgp = Mirror(room / "other", parse_source(str(forge.path), "main"), trust=Trust("pgp", keys))
    assert isinstance(by_pgp.fetch(None), Advanced)
    sign(ssh["ann"].settings())
    assert isinstance(by_pgp.fetch(None), Unverified)


def test_pgp_keys_good_unknown_expired_and_revoked(
    forge: Forge, room: Path, tmp_path: Path, sign: Sign, pgp: PgpKeys
) -> None:
    keys = tmp_path / "keys.asc"
    mirror = Mirror(room, parse_source(str(forge.path), "main"), trust=Trust("pgp", keys))
    keys.write_bytes(pgp.export("ann", "revoked"))
    first = sign(pgp.settings("ann", tmp_path))
    assert mirror.fetch(None) == Advanced(first)
    second = sign(pgp.settings("revoked", tmp_path))
    assert mirror.fetch(first) == Advanced(second, first)
    third = sign(pgp.settings("expired", tmp_path, at=OLD))
    fourth = sign(pgp.settings("stranger", tmp_path))
    pgp.revoke("revoked")
    keys.write_bytes(pgp.export("ann", "revoked", "expired"))
    whys = {}
    for since, commit in ((first, second), (second, third), (third, fourth)):
        forge.git("update-ref", "refs/heads/main", commit)
        again = Mirror(room / commit, parse_source(str(forge.path), "main"), trust=Trust("pgp", keys))
        found = again.fetch(since)
        assert isinstance(found, Unverified), commit
        whys[commit] = found.why
    assert "revoked" in whys[second]
    assert "out of date" in whys[third]
    assert "not among the signers'" in whys[fourth]


def test_a_rewritten_history_is_checked_once_a_person_accepted_it(
    by_ssh: Mirror, forge: Forge, sign: Sign, ssh: dict[str, SshKey]
) -> None:
    good = sign(ssh["ann"].settings())
    assert by_ssh.fetch(None) == Advanced(good)
    forge.git("update-ref", "-d", "refs/heads/main")
    other = sign([])
    assert by_ssh.fetch(good) == Rewound(good, other)
    assert by_ssh.fetch(other, in_force=good) == Unverified(other, other, "has no signature", 1, 1)


@pytest.mark.parametrize("by", ["ssh", "pgp"])
def test_keys_that_cannot_be_read_are_said_and_nothing_is_followed(
    forge: Forge, room: Path, tmp_path: Path, sign: Sign, ssh: dict[str, SshKey], by: str
) -> None:
    sign(ssh["ann"].settings())
    for content in (None, b"", b"no key at all\n"):
        signers = tmp_path / "signers"
        signers.unlink(missing_ok=True)
        if content is not None:
            signers.write_bytes(content)
        trust = Trust("ssh" if by == "ssh" else "pgp", signers)
        found = Mirror(room, parse_source(str(forge.path), "main"), trust=trust).fetch(None)
        assert isinstance(found, Failed | Unverified), (content, found)
        assert content is not None or isinstance(found, Failed)


def test_the_pages_command_makes_a_signer(
    forge: Forge, room: Path, tmp_path: Path, sign: Sign, ssh: dict[str, SshKey]
) -> None:
    [command] = run_by("test_the_pages_command_makes_a_signer")
    (tmp_path / "ann.pub").write_text(ssh["ann"].path.with_suffix(".pub").read_text())
    signers = tmp_path / "signers"
    words = command.text.replace("/etc/passerelle/signers", str(signers))
    subprocess.run(["sh", "-c", words], cwd=tmp_path, check=True, timeout=grown_s(30))
    mirror = Mirror(room, parse_source(str(forge.path), "main"), trust=Trust("ssh", signers))
    signed = sign(ssh["ann"].settings())
    assert mirror.fetch(None) == Advanced(signed)
