"""What an operator may write as a source, and what never reaches git."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import InputError
from service.git.addresses import AddressRefused, NameUnknown, check_host, refused
from service.git.commands import Credentials, Git
from service.git.source import branch_is_valid, parse_source
from service.lab.waiting import grown_s
from service.model.secret import Secret
from service.model.sources import Source, SourceKind

ACCEPTED = [
    ("https://git.example.org/fleet.git", "https://git.example.org/fleet.git", "https"),
    ("https://git.example.org:8443/a/b/fleet", "https://git.example.org:8443/a/b/fleet", "https"),
    ("https://GIT.Example.org/Fleet.git/", "https://git.example.org/Fleet.git", "https"),
    ("https://192.0.2.7/fleet.git", "https://192.0.2.7/fleet.git", "https"),
    ("https://[2001:db8::1]:8443/fleet.git", "https://[2001:db8::1]:8443/fleet.git", "https"),
    ("https://git/fleet", "https://git/fleet", "https"),
    ("ssh://git@git.example.org/fleet.git", "ssh://git@git.example.org/fleet.git", "ssh"),
    ("ssh://git.example.org:2222/fleet.git", "ssh://git.example.org:2222/fleet.git", "ssh"),
    ("ssh://git@git.example.org/~ada/fleet.git", "ssh://git@git.example.org/~ada/fleet.git", "ssh"),
    ("ssh://git@[2001:db8::1]/fleet.git", "ssh://git@[2001:db8::1]/fleet.git", "ssh"),
    ("git@git.example.org:team/fleet.git", "ssh://git@git.example.org/team/fleet.git", "ssh"),
    ("git.example.org:team/fleet.git", "ssh://git.example.org/team/fleet.git", "ssh"),
    ("git@git.example.org:/srv/git/fleet.git", "ssh://git@git.example.org/srv/git/fleet.git", "ssh"),
    ("git@[2001:db8::1]:team/fleet.git", "ssh://git@[2001:db8::1]/team/fleet.git", "ssh"),
    ("/srv/git/fleet.git", "/srv/git/fleet.git", "local"),
    ("/srv//git/fleet.git/", "/srv/git/fleet.git", "local"),
    ("/srv/my repositories/flotte-été.git", "/srv/my repositories/flotte-été.git", "local"),
]

REFUSED = [
    "",
    " ",
    "/",
    "fleet.git",
    "./fleet.git",
    "../fleet.git",
    "~/fleet.git",
    "/srv/../etc",
    "/srv/./git",
    "/srv/-x/fleet.git",
    "/srv/$HOME",
    "/srv/`id`",
    "/srv/a;id",
    "/srv/a|id",
    "/srv/a'b",
    '/srv/a"b',
    "/srv/a\\b",
    "/srv/*",
    "/srv/a\nb",
    "/srv/a\x00b",
    "/srv/a\x7fb",
    "/srv/a\u202eb",
    "/srv/a\u200bb",
    " /srv/git",
    "/srv/git\n",
    "ext::sh -c touch% {marker}",
    "ext::sh",
    "git@ext::sh -c id",
    "fd::3",
    "transport::/srv/git",
    "file:///srv/git/fleet.git",
    "file:/srv/git/fleet.git",
    "FILE:///srv/git",
    "http://git.example.org/fleet.git",
    "git://git.example.org/fleet.git",
    "ftp://git.example.org/fleet.git",
    "rsync://git.example.org/fleet.git",
    "HTTPS://git.example.org/fleet.git",
    "git+ssh://git@git.example.org/fleet.git",
    "-oProxyCommand=touch {marker}",
    "--upload-pack=touch {marker}",
    "-u touch",
    "ssh://-oProxyCommand=touch/fleet.git",
    "ssh://git@-oProxyCommand=touch/fleet.git",
    "ssh://-l@git.example.org/fleet.git",
    "-l@git.example.org:fleet.git",
    "git@-oProxyCommand=id:fleet.git",
    "https://hunter2@git.example.org/fleet.git",
    "https://ada:hunter2@git.example.org/fleet.git",
    "https://@git.example.org/fleet.git",
    "https://ada:p@ss@git.example.org/fleet.git",
    "ssh://ada:hunter2@git.example.org/fleet.git",
    "ada:hunter2@git.example.org:fleet.git",
    "https://git.example.org",
    "https://git.example.org/",
    "https:///fleet.git",
    "https:/git.example.org/fleet.git",
    "https://git.example.org:0/fleet.git",
    "https://git.example.org:65536/fleet.git",
    "https://git.example.org:/fleet.git",
    "https://git.example.org:8x/fleet.git",
    "https://git.example.org/fleet.git?x=1",
    "https://git.example.org/fleet.git#main",
    "https://git.example.org/../fleet.git",
    "https://git.example.org/a/%2e%2e/fleet.git",
    "https://git.example.org/a%0ab",
    "https://git.example.org/$TOKEN/fleet.git",
    "https://$HOST/fleet.git",
    "https://git.example.org/~ada/fleet.git",
    "https://git.example.org//fleet.git",
    "https://git.example.org/-x",
    "https://git..example.org/fleet.git",
    "https://.git.example.org/fleet.git",
    "https://git.example.org\t/fleet.git",
    "https://git.example.org/fleet.git\n",
    "https://git.example.org/fleet.git\r",
    "https://git.exаmple.org/fleet.git",
    "https://[::1/fleet.git",
    "https://[fe80::1%eth0]/fleet.git",
    "https://[nonsense]/fleet.git",
    "ssh://git.example.org/a b",
    "git@git.example.org:a b",
    "git@git.example.org:../fleet.git",
    "git@git.example.org:",
    "git@:fleet.git",
    "C:\\fleet",
    "https://" + "a" * 254 + "/fleet.git",
    "https://git.example.org/" + "a" * 1100,
]

BRANCHES = ["main", "release/24.04", "feature/a_b+c", "2026", "v1.0", "a@b", "fix-#12", "a=b", "x" * 200]

NO_BRANCHES = [
    *("", " ", "-", "-x", "--upload-pack=touch {marker}", "../x", "a/../b", "a..b", "@{-1}", "@", "main@{1}"),
    *("HEAD", "HEAD:../../x", "HEAD~1", "main^", "main:x", "refs/heads/main", "refs/replace/x", "a//b", "/a", "a/"),
    *(".a", "a/.b", "a.lock", "a.lock/b", "a.", "a b", "a\n", "main\n", "a\x00", "a*", "a?", "a[b", "a\\b", "a/-b"),
    *("$BRANCH", "a;id", "é", "x" * 201, "FETCH_HEAD", "a\x7f", "+main", ":main", "^main"),
]


@pytest.mark.parametrize(("text", "url", "kind"), ACCEPTED)
def test_a_source_is_read_as_its_plain_form(text: str, url: str, kind: SourceKind) -> None:
    assert parse_source(text, "main") == Source(url, "main", kind)
    assert parse_source(url, "main").url == url


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_plain_source_is_refused_without_repeating_a_password(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_source(text, "main")
    said = str(caught.value)
    assert "hunter2" not in said
    assert said.isprintable()


def test_the_table_of_sources_is_long_enough() -> None:
    assert len(ACCEPTED) + len(REFUSED) >= 100
    assert len({*REFUSED}) == len(REFUSED)


@given(st.text(max_size=60))
def test_any_text_is_a_source_or_an_input_error_and_never_an_option(text: str) -> None:
    try:
        source = parse_source(text, "main")
    except InputError:
        return
    assert source.url.startswith(("/", "https://", "ssh://"))
    assert source.url.isprintable()
    assert not set(source.url) & set("$`\\\n")


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_plain_branch_name_is_accepted(branch: str) -> None:
    assert parse_source("/srv/git", branch).ref == f"refs/heads/{branch}"


@pytest.mark.parametrize("branch", NO_BRANCHES)
def test_what_is_no_plain_branch_name_is_refused(branch: str) -> None:
    with pytest.raises(InputError):
        parse_source("/srv/git", branch)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="aZ0._/-+@#={}~^: ", min_size=1, max_size=12))
def test_every_accepted_branch_is_one_for_git_too(branch: str) -> None:
    if branch_is_valid(branch):
        asked = subprocess.run(["git", "check-ref-format", f"refs/heads/{branch}"], check=False, timeout=grown_s(30))
        assert asked.returncode == 0


def test_the_whole_command_is_as_written_down(tmp_path: Path) -> None:
    source = parse_source("https://git.example.org/fleet.git", "main")
    git = Git(tmp_path, tmp_path / "mirror.git", source, Credentials(https_token=Secret(b"canary-token")))
    argv = git.argv("fetch", "--", source.url, "+refs/heads/main:refs/psr/incoming", addresses=("192.0.2.7",))
    assert argv[:2] == ["git", f"--git-dir={tmp_path}/mirror.git"]
    assert argv[-4:] == ["fetch", "--", "https://git.example.org/fleet.git", "+refs/heads/main:refs/psr/incoming"]
    flags = argv[3:-4:2]
    assert set(argv[2:-4:2]) == {"-c"}
    for flag in (
        "core.hooksPath=/dev/null",
        "protocol.allow=never",
        "protocol.https.allow=always",
        "transfer.fsckObjects=true",
        "http.followRedirects=false",
        "credential.helper=",
        "gc.auto=0",
        "http.curloptResolve=git.example.org:443:192.0.2.7",
    ):
        assert flag in flags
    assert not [flag for flag in flags if flag.startswith(("protocol.file", "protocol.ssh", "protocol.ext"))]
    assert "canary-token" not in repr(argv) + repr(git)


def test_the_environment_is_built_from_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", "touch /nowhere")
    monkeypatch.setenv("LD_PRELOAD_CANARY", "1")
    https = Git(tmp_path, tmp_path / "m", parse_source("https://git.example.org/f", "main")).environment()
    assert https["GIT_ALLOW_PROTOCOL"] == "https"
    assert https["PATH"] == "/usr/bin:/bin"
    assert not {"GIT_SSH_COMMAND", "LD_PRELOAD_CANARY", "USER", "GIT_CONFIG_COUNT"} & set(https)
    local = Git(tmp_path, tmp_path / "m", parse_source(str(tmp_path), "main")).environment()
    assert local["GIT_ALLOW_PROTOCOL"] == "file"
    assert local["GIT_CONFIG_GLOBAL"] == "/dev/null"
    files = Credentials(ssh_key=Path("/keys/a key"), known_hosts=Path("/keys/known"))
    ssh = Git(tmp_path, tmp_path / "m", parse_source("git@git.example.org:f", "main"), files).environment()
    assert ssh["GIT_ALLOW_PROTOCOL"] == "ssh"
    assert ssh["GIT_SSH_COMMAND"].startswith("ssh -F /dev/null -i '/keys/a key' -oUserKnownHostsFile=/keys/known ")
    for option in ("StrictHostKeyChecking=yes", "IdentityAgent=none", "ProxyCommand=none", "BatchMode=yes"):
        assert f"-o{option}" in ssh["GIT_SSH_COMMAND"].split()


def test_a_token_goes_to_its_own_url_in_the_environment_only(tmp_path: Path) -> None:
    source = parse_source("https://git.example.org/fleet.git", "main")
    told = Git(tmp_path, tmp_path / "m", source, Credentials(https_token=Secret(b"canary"))).environment()
    assert told["GIT_CONFIG_KEY_0"] == "http.https://git.example.org/fleet.git.extraHeader"
    assert told["GIT_CONFIG_VALUE_0"] == "Authorization: Basic Z2l0OmNhbmFyeQ=="


def test_an_ssh_source_without_key_and_known_hosts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="known_hosts"):
        Git(tmp_path, tmp_path / "m", parse_source("git@git.example.org:f", "main"))


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1", "this machine"),
        ("127.8.9.1", "this machine"),
        ("::1", "this machine"),
        ("::ffff:127.0.0.1", "this machine"),
        ("64:ff9b::7f00:1", "this machine"),
        ("2002:7f00:1::", "this machine"),
        ("169.254.169.254", "a metadata service"),
        ("::ffff:169.254.169.254", "a metadata service"),
        ("fd00:ec2::254", "a metadata service"),
        ("100.100.100.200", "a metadata service"),
        ("169.254.7.7", "a link-local address"),
        ("fe80::1%eth0", "a link-local address"),
        ("224.0.0.1", "a multicast address"),
        ("ff02::1", "a multicast address"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("255.255.255.255", "reserved"),
        ("nonsense", "no IP address"),
        ("192.0.2.7", ""),
        ("10.0.0.7", ""),
        ("192.168.1.7", ""),
        ("fd12::7", ""),
        ("2001:db8::7", ""),
    ],
)
def test_addresses_that_are_never_asked_are_named(address: str, why: str) -> None:
    assert refused(address) == why


def test_one_forbidden_address_among_several_is_enough() -> None:
    with pytest.raises(AddressRefused, match=r"169\.254\.169\.254"):
        check_host("git.example.org", 443, resolver=lambda _host, _port: ["192.0.2.7", "169.254.169.254"])


def test_loopback_is_asked_only_where_allowed_and_nothing_else_with_it() -> None:
    assert check_host("localhost", 443, allow_loopback=True) != ()
    with pytest.raises(AddressRefused):
        check_host("localhost", 443)
    with pytest.raises(AddressRefused):
        check_host("x", 443, allow_loopback=True, resolver=lambda _host, _port: ["169.254.169.254"])


@pytest.mark.parametrize("name", ["127.0.0.1", "2130706433", "0x7f000001", "127.1"])
def test_every_spelling_of_this_machine_is_seen_through(name: str) -> None:
    with pytest.raises(AddressRefused):
        check_host(name, 443)


def test_a_name_that_does_not_resolve_says_so() -> None:
    def resolver(_host: str, _port: int) -> list[str]:
        raise OSError(-2, "Name or service not known")

    with pytest.raises(NameUnknown, match="Name or service not known"):
        check_host("nowhere.example.org", 443, resolver=resolver)
