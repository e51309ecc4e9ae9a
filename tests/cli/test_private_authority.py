"""A service with TLS on loopback, its certificate of a private authority: only a client that names the authority can
connect.
"""

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service.cli import run
from service.history import open_history
from tests.api.world import World
from tests.state_folders import made


@dataclass(frozen=True)
class Authority:
    """A private certificate authority, and files in PEM form."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def new(cls, folder: Path) -> "Authority":
        folder.mkdir()
        key = ec.generate_private_key(ec.SECP256R1())
        made_one = cls(folder, key, signed("private authority", key, key, "private authority", is_authority=True))
        made_one.file.write_bytes(made_one.certificate.public_bytes(serialization.Encoding.PEM))
        made_one.file.chmod(0o644)
        return made_one

    @property
    def file(self) -> Path:
        return self.folder / "ca.pem"

    def server_files(self, *names: x509.GeneralName) -> tuple[str, str]:
        """A certificate for these names and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = signed("passerelle", key, self.key, "private authority", names=names)
        files = (self.folder / "server.pem", self.folder / "server.key")
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return str(files[0]), str(files[1])


def signed(
    name: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, issuer: str, *,
    names: tuple[x509.GeneralName, ...] = (), is_authority: bool = False,
) -> x509.Certificate:  # fmt: skip
    now = datetime.datetime.now(datetime.UTC)
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=is_authority, crl_sign=is_authority, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(by, hashes.SHA256())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.new(tmp_path_factory.mktemp("trust") / "ours")


@pytest.fixture(scope="module")
def port(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A service with TLS; the commands have its token. Its certificate is for 127.0.0.1 only."""
    certificate, key = authority.server_files(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    with (
        open_history(made(tmp_path_factory.mktemp("tls") / "passerelle.sqlite")) as history,
        socket.create_server(("127.0.0.1", 0)) as listening,
        pytest.MonkeyPatch.context() as patch,
    ):
        world = World(history).fill()
        patch.setenv("PASSERELLE_TOKEN", world.token())
        config = uvicorn.Config(
            world.app, log_config=None, lifespan="off", ssl_certfile=certificate, ssl_keyfile=key,
        )  # fmt: skip
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(30)


@pytest.fixture(autouse=True)
def _asks_there(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSERELLE_URL", f"https://127.0.0.1:{port}")


def test_whoever_names_the_authority_is_answered(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PASSERELLE_CA_FILE", str(authority.file))
    assert run(["history"]) == 0
    assert "nothing was applied yet" in capsys.readouterr().err


def test_without_it_or_with_another_the_certificate_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Authority.new(tmp_path / "other")
    for file in ("", str(other.file)):
        monkeypatch.setenv("PASSERELLE_CA_FILE", file)
        assert run(["history"]) == 1
        err = capsys.readouterr().err
        assert "is not trusted: " in err
        assert "set PASSERELLE_CA_FILE to the file with your certificate authority" in err
        assert "passerelle serve" not in err


def test_a_name_that_is_not_in_the_certificate_is_not_trusted(
    authority: Authority, port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PASSERELLE_CA_FILE", str(authority.file))
    monkeypatch.setenv("PASSERELLE_URL", f"https://localhost:{port}")
    assert run(["history"]) == 1
    assert "Hostname mismatch" in capsys.readouterr().err


def test_a_file_that_cannot_decide_whom_to_trust_is_refused(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty, open_one = tmp_path / "empty.pem", tmp_path / "open.pem"
    empty.write_text("nothing\n")
    open_one.write_bytes(authority.file.read_bytes())
    open_one.chmod(0o666)
    for file, why in (
        (tmp_path / "nowhere.pem", "cannot be read: No such file or directory"),
        (empty, "no certificate was found in it"),
        (open_one, "can be changed by other users (mode 0666)"),
    ):
        monkeypatch.setenv("PASSERELLE_CA_FILE", str(file))
        assert run(["history"]) == 1
        assert why in capsys.readouterr().err


def test_the_server_really_asks_for_trust(authority: Authority, port: int) -> None:
    """The control of this file: its own client, without the authority and with it."""
    for context, is_good in (
        (ssl.create_default_context(), False), (ssl.create_default_context(cafile=str(authority.file)), True),
    ):  # fmt: skip
        with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
            if is_good:
                with context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped:
                    assert wrapped.version() == "TLSv1.3"
            else:
                with pytest.raises(ssl.SSLCertVerificationError):
                    context.wrap_socket(plain, server_hostname="127.0.0.1")
