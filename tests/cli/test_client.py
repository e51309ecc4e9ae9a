"""What the command line makes of the service's problems, and of settings with which no service can be reached."""

import pytest

from service.cli.client import ApiError, Client
from service.errors import InputError
from service.model.secret import Secret

DOES_NOT_FIT = {
    "detail": "the request is not valid",
    "errors": [{"pointer": "/body/reason", "detail": "String should have at least 3 characters"}],
}


def test_a_request_that_does_not_fit_is_refused_with_what_is_wrong_where() -> None:
    said = ApiError(422, DOES_NOT_FIT).what
    assert said == "the request is not valid: reason: String should have at least 3 characters"


def test_a_token_that_is_not_taken_any_more_comes_with_what_to_do() -> None:
    assert "passerelle token create" in ApiError(401, {"detail": "a valid token is needed"}).hint


def test_a_host_that_is_not_there_comes_with_where_the_others_are_shown() -> None:
    assert "passerelle status" in ApiError(404, {"detail": "no host nope"}).hint
    assert not ApiError(404, {"detail": "nobody has a lease of 10.10.10.9 on pve1 now"}).hint


@pytest.mark.parametrize("token", ["psr_a\nb", "psr_a b", "psr_\u00e9"])
def test_a_token_that_cannot_be_sent_is_refused_before(token: str) -> None:
    with pytest.raises(InputError, match="the token has characters"):
        Client("http://127.0.0.1:1", Secret(token.encode()))


def test_an_address_without_a_scheme_is_refused_with_one_that_has_it() -> None:
    with pytest.raises(InputError, match=r"127\.0\.0\.1:8765, no web address"):
        Client("127.0.0.1:8765", Secret(b"psr_a"))
