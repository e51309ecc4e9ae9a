"""The part that talks to a certificate authority (RFC 8555, RFC 9773), with certbot's library `acme`.

It is a program of its own in a virtual environment; it keeps nothing and decides nothing. One line of JSON on stdin
says what to do. Lines of JSON on stdout say what happened. After `order` and `finalize` it waits for a line on stdin,
so that the caller has written them down before the authority counts them.

    {"do": "order", …}    → {"event": "order", "url": …} · {"event": "finalize"} · {"event": "issued", "chain": …}
    {"do": "windows", …}  → {"event": "window", "serial": …, "start": …, "end": …, "retry_after_s": …}, one each
    both                  → {"event": "failed", "stage": …, "type": …, "detail": …, "retry_after_s": …, "over": …}
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import email.utils
import json
import os
import subprocess
import sys
import time
from typing import Any, Iterator, Optional

import josepy
import requests
from acme import challenges, client, crypto_util, errors, messages
from cryptography import x509
from cryptography.hazmat.primitives import serialization

NETWORK_TIMEOUT_S = 30
ORDER_TIMEOUT_S = 180
HOOK_TIMEOUT_S = 300
DETAIL_CHARS = 2000

stage = "directory"
"""What is being done; the stage of a failure."""


class Order(messages.NewOrder):
    """An order that says which certificate it replaces (RFC 9773, 5), which the library does not know yet."""

    replaces: Optional[str] = josepy.field("replaces", omitempty=True)


class Authority:
    """A connection to one directory, with an account when there is a key."""

    def __init__(self, request: dict[str, Any]) -> None:
        key = None
        if request.get("account_key"):
            with open(request["account_key"], "rb") as file:
                key = josepy.JWKEC(key=serialization.load_pem_private_key(file.read(), None))
        self.retry_after_s: Optional[float] = None
        agent = request.get("user_agent") or "passerelle"
        self.net = client.ClientNetwork(key, alg=josepy.ES256, user_agent=agent, timeout=NETWORK_TIMEOUT_S)
        if request.get("ca_file"):
            self.net.verify_ssl = request["ca_file"]
        self.net.session.hooks["response"].append(self._note_retry_after)
        enter("directory")
        self.acme = client.ClientV2(client.ClientV2.get_directory(request["directory"], self.net), self.net)

    def _note_retry_after(self, response: requests.Response, *_: Any, **__: Any) -> None:
        self.retry_after_s = seconds_of(response.headers.get("Retry-After", ""))

    def offers(self, resource: str) -> Optional[str]:
        """A URL of the directory; None when the authority does not have it."""
        try:
            return str(self.acme.directory[resource])
        except KeyError:
            return None

    def post(self, url: str, body: Any = None) -> requests.Response:
        """POST, or POST-as-GET (RFC 8555, 6.3) without a body."""
        answer: requests.Response = self.net.post(url, body, new_nonce_url=self.acme.directory["newNonce"])
        return answer

    def enter_account(self, email: Optional[str]) -> None:
        """Make the account, or find the one that this key has."""
        enter("account")
        contact = {"email": email} if email else {}
        wanted = messages.NewRegistration.from_data(terms_of_service_agreed=True, **contact)
        try:
            self.acme.new_account(wanted)
        except errors.ConflictError as there:
            self.net.account = messages.RegistrationResource(body=messages.Registration(), uri=there.location)


def seconds_of(retry_after: str) -> Optional[float]:
    """The seconds of a header Retry-After (RFC 9110, 10.2.3): a number, or a date; None when it is neither.

    The library's own reader takes a date for one of the local time zone.
    """
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def enter(word: str) -> None:
    """The next stage begins."""
    global stage  # noqa: PLW0603
    stage = word


def say(event: str, **more: Any) -> None:
    """One line for the caller."""
    sys.stdout.write(json.dumps({"event": event, **more}) + "\n")
    sys.stdout.flush()


def say_and_wait(event: str, **more: Any) -> None:
    """One line; returns when the caller has written it down."""
    say(event, **more)
    if not sys.stdin.readline():
        raise SystemExit(3)


def certificate_id(chain: bytes) -> str:
    """The identifier of a certificate in renewal information (RFC 9773, 4.1)."""
    found = x509.load_pem_x509_certificate(chain)
    issuer = found.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier or b""
    serial = found.serial_number.to_bytes(found.serial_number.bit_length() // 8 + 1, "big")
    return ".".join(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in (issuer, serial))


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def placed(request: dict[str, Any], authority: Authority, csr: bytes) -> messages.OrderResource:
    """A new order, or the one that was begun before, while it is good for something."""
    enter("order")
    if request.get("order"):
        with contextlib.suppress(messages.Error, errors.ClientError):
            found = messages.Order.from_json(authority.post(request["order"]).json())
            if found.status != messages.STATUS_INVALID:
                return messages.OrderResource(body=found, uri=request["order"], authorizations=[], csr_pem=csr)
    body = {
        "identifiers": [messages.Identifier(typ=messages.IDENTIFIER_FQDN, value=name) for name in request["names"]],
        "profile": request.get("profile"),
    }
    url = authority.acme.directory["newOrder"]
    replaces = request.get("replaces") if authority.offers("renewalInfo") else None
    if replaces:
        try:
            response = authority.post(url, Order(replaces=certificate_id(read(replaces)), **body))
        except errors.ConflictError:  # alreadyReplaced (RFC 9773, 5): an order like any other
            response = authority.post(url, Order(**body))
        except messages.Error as error:
            if error.code != "malformed":  # the certificate of another account, or one that it does not know any more
                raise
            response = authority.post(url, Order(**body))
    else:
        response = authority.post(url, Order(**body))
    uri = response.headers["Location"]
    say_and_wait("order", url=uri)
    return messages.OrderResource(
        body=messages.Order.from_json(response.json()), uri=uri, authorizations=[], csr_pem=csr
    )


@contextlib.contextmanager
def proved(request: dict[str, Any], authority: Authority, order: messages.OrderResource) -> Iterator[None]:
    """Answer the challenges of all names that are not proved yet; what was put up for them goes away at the end."""
    enter("challenge")
    with contextlib.ExitStack() as put_up:
        asked = []
        for url in order.body.authorizations:
            found = messages.Authorization.from_json(authority.post(url).json())
            if found.status == messages.STATUS_VALID:
                continue
            sort = challenges.DNS01 if request.get("dns_hook") else challenges.HTTP01
            offered = [each for each in found.challenges if isinstance(each.chall, sort)]
            if not offered:
                raise errors.Error(f"the authority offers no {sort.typ} challenge for {found.identifier.value}")
            put_up.enter_context(answer(request, authority, offered[0], found.identifier.value))
            asked.append(offered[0])
        for each in asked:
            authority.acme.answer_challenge(each, each.response(authority.net.key))
        authority.acme.poll_authorizations(order, deadline())
        yield


@contextlib.contextmanager
def answer(request: dict[str, Any], authority: Authority, asked: Any, name: str) -> Iterator[None]:
    """Put up what proves one name: a file for nginx, or a TXT record by the hook."""
    value = asked.validation(authority.net.key)
    if request.get("dns_hook"):
        record = f"_acme-challenge.{name}."
        hook(request["dns_hook"], "present", record, value)
        try:
            yield
        finally:
            with contextlib.suppress(errors.Error):
                hook(request["dns_hook"], "cleanup", record, value)
        return
    path = os.path.join(request["webroot"], asked.chall.encode("token"))
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(fd, "w") as file:
        file.write(value)
        os.fchmod(fd, 0o644)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)


def hook(path: str, verb: str, record: str, value: str) -> None:
    """`HOOK present|cleanup _acme-challenge.NAME. VALUE`; its failure with its last words."""
    try:
        done = subprocess.run(
            [path, verb, record, value],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=HOOK_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise errors.Error(f"the hook {path} {verb}: {error}") from error
    if done.returncode != 0:
        words = " ".join((done.stderr or done.stdout).decode("utf-8", "replace").split())
        raise errors.Error(f"the hook {path} {verb} ended with exit code {done.returncode}: {words[-500:]}")


def deadline() -> datetime.datetime:
    return datetime.datetime.now() + datetime.timedelta(seconds=ORDER_TIMEOUT_S)  # noqa: DTZ005


def order(request: dict[str, Any], authority: Authority) -> None:
    """Get one certificate."""
    authority.enter_account(request.get("email"))
    csr = crypto_util.make_csr(read(request["key"]), request["names"])
    begun = placed(request, authority, csr)
    if begun.body.status == messages.STATUS_PENDING:
        with proved(request, authority, begun):
            pass
    if begun.body.status not in (messages.STATUS_PROCESSING, messages.STATUS_VALID):
        enter("finalize")
        say_and_wait("finalize")
        try:
            begun = authority.acme.begin_finalization(begun).update(uri=begun.uri)
        except messages.Error as error:
            if error.code != "orderNotReady":
                raise
    enter("download")
    chain = authority.acme.poll_finalization(begun, deadline()).fullchain_pem.encode()
    facts = checked(chain, read(request["key"]), request["names"])
    say("issued", chain=chain.decode(), facts=facts)
    window(authority, facts["serial"], chain)


def checked(chain: bytes, key: bytes, names: list[str]) -> dict[str, Any]:
    """Facts of a certificate that is for this key and these names; an error otherwise."""
    found = x509.load_pem_x509_certificates(chain)[0]
    own = serialization.load_pem_private_key(key, None).public_key()
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if found.public_key().public_bytes(*form) != own.public_bytes(*form):
        raise errors.Error("the authority sent a certificate for another key")
    there = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if set(there.get_values_for_type(x509.DNSName)) != set(names):
        raise errors.Error("the authority sent a certificate for other names")
    serial = f"{found.serial_number:x}"
    return {
        "not_before": int(found.not_valid_before_utc.timestamp()),
        "not_after": int(found.not_valid_after_utc.timestamp()),
        "issuer": found.issuer.rfc4514_string(),
        "serial": serial.zfill(len(serial) + len(serial) % 2),
    }


def windows(request: dict[str, Any], authority: Authority) -> None:
    """What the authority says about the renewal of certificates: {serial: path of the chain}."""
    for serial, path in request["chains"].items():
        window(authority, serial, read(path))


def window(authority: Authority, serial: str, chain: bytes) -> None:
    """Say the renewal window of one certificate: none where the authority names none, nothing where it fails to."""
    top = authority.offers("renewalInfo")
    if top is None:
        say("window", serial=serial, start=None, end=None, retry_after_s=None)
        return
    try:
        response = authority.net.get(f"{top}/{certificate_id(chain)}")
        found = messages.RenewalInfo.from_json(response.json()).suggested_window
        start, end = found.start.timestamp(), found.end.timestamp()
    except (errors.Error, josepy.errors.Error, requests.RequestException, x509.ExtensionNotFound, AttributeError):
        return
    say("window", serial=serial, start=start, end=end, retry_after_s=authority.retry_after_s)


def described(error: BaseException) -> tuple[Optional[str], str, bool]:
    """(type, detail, is the order over) of an error; the detail is the authority's own words where it has any."""
    if isinstance(error, errors.ValidationError):
        found = [
            (authorization.body.identifier.value, each.error)
            for authorization in error.failed_authzrs
            for each in authorization.body.challenges
            if each.error is not None
        ]
        if len(found) == 1:
            return found[0][1].typ, found[0][1].detail or "", True
        return found[0][1].typ, "; ".join(f"{name}: {each.detail}" for name, each in found), True
    if isinstance(error, errors.IssuanceError):
        return described(error.error)
    if isinstance(error, messages.Error):
        more = [
            f"{each.identifier.value if each.identifier else ''}: {each.detail}" for each in error.subproblems or ()
        ]
        return error.typ, "; ".join([error.detail or error.title or "", *more]), error.code != "serverInternal"
    if isinstance(error, requests.RequestException):
        return None, f"the authority cannot be reached: {reason(error)}", False
    if isinstance(error, errors.TimeoutError):
        return None, f"the authority did not decide within {ORDER_TIMEOUT_S} s", False
    if isinstance(error, errors.ClientError) and error.args and isinstance(error.args[0], requests.Response):
        return None, f"the authority answered HTTP {error.args[0].status_code} without a reason", False
    return None, f"{error}" or type(error).__name__, False


def reason(error: BaseException) -> str:
    """The innermost cause in few words: those of the libraries in between say the same at length."""
    seen: list[Any] = [error]
    for each in seen:
        if isinstance(each, OSError) and each.strerror and not isinstance(each, requests.RequestException):
            return each.strerror
        inner = [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
        seen += [more for more in inner if isinstance(more, BaseException) and not any(more is one for one in seen)]
    return str(error)


def main() -> int:
    """Do what the first line of stdin says."""
    request = json.loads(sys.stdin.readline())
    authority = None
    try:
        authority = Authority(request)
        {"order": order, "windows": windows}[request["do"]](request, authority)
    except Exception as error:  # the caller gets all of them as an event
        kind, detail, over = described(error)
        retry_after_s = authority.retry_after_s if authority else None
        text = "".join(each if each.isprintable() else " " for each in detail)[:DETAIL_CHARS]
        say("failed", stage=stage, type=kind, detail=text, retry_after_s=retry_after_s, over=over)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
