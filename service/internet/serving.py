"""A site as it answers over HTTPS. The certificate is read, not trusted: whose it is, the caller compares."""

import ssl

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

from service.formats.certificate_status import canonical_serial
from service.internet.asking import ask
from service.model.sites.seen import Answer, CertificateServed
from service.model.trees import shown

HTTPS_PORT = 443
MOST_NAMES = 100


async def answer_of(address: str, name: str, *, port: int = HTTPS_PORT, is_https: bool = True) -> Answer:
    """One look at a site through one address."""
    said = await ask(address, port, name, "/", tls=_any_certificate() if is_https else None)
    return Answer(address, said.status, said.error, read_certificate(said.der) if said.der else None)


def read_certificate(der: bytes) -> CertificateServed | None:
    """What a certificate says, bounded; None where it cannot be read."""
    try:
        found = x509.load_der_x509_certificate(der)
        return CertificateServed(
            names=_names(found),
            not_after=int(found.not_valid_after_utc.timestamp()),
            issuer=shown(found.issuer.rfc4514_string(), 200),
            serial=canonical_serial(f"{found.serial_number:x}"),
            is_self_signed=found.issuer == found.subject,
        )
    except ValueError:
        return None


def _names(found: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = found.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except x509.ExtensionNotFound:
        common = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return tuple(shown(str(one.value), 253) for one in common[:1])
    assert isinstance(extension, x509.SubjectAlternativeName)
    return tuple(shown(one, 253) for one in extension.get_values_for_type(x509.DNSName)[:MOST_NAMES])


def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
