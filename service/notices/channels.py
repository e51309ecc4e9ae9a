"""Every way that the operator set by which people are informed."""

from dataclasses import dataclass

from service.errors import InputError
from service.model.secret import Secret
from service.notices import apprise_urls
from service.notices.channel import Channel
from service.notices.mail import Mail, addresses_of, server_of
from service.notices.webhook import Webhook


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the operator set, as `service.settings.Settings` has it. What is empty is not used. `is_plain`: notices may
    go to other machines without encryption."""

    controller: str
    url: str = ""
    secret: Secret | None = None
    smtp: str = ""
    login: tuple[str, Secret] | None = None
    sender: str = ""
    to: str = ""
    apprise: tuple[Secret, ...] = ()
    is_plain: bool = False


def channels_of(wanted: Wanted) -> list[Channel]:
    """The ways, none where nobody is informed. InputError for what cannot be used."""
    found = []
    if wanted.url and wanted.secret is not None:
        hook = Webhook(wanted.url, wanted.secret, is_plain=wanted.is_plain)
        found.append(Channel("webhook", hook.host, hook.send))
    if wanted.smtp:
        found.append(_mail(wanted))
    return [*found, *apprise_urls.channels(wanted.apprise, is_plain=wanted.is_plain)]


def _mail(wanted: Wanted) -> Channel:
    if not wanted.sender or not wanted.to:
        missing = "PASSERELLE_NOTICE_FROM" if not wanted.sender else "PASSERELLE_NOTICE_TO"
        raise InputError(
            f"PASSERELLE_NOTICE_SMTP is set, and {missing} is not", hint=f"set {missing} to an address of mail"
        )
    senders = addresses_of(wanted.sender)
    if len(senders) != 1:
        raise InputError("PASSERELLE_NOTICE_FROM has several addresses", hint="set one")
    server = server_of(wanted.smtp, wanted.login, is_plain=wanted.is_plain)
    mail = Mail(server, sender=senders[0], to=addresses_of(wanted.to), list_name=wanted.controller)
    return Channel("mail", mail.where, mail.send)
