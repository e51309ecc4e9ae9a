"""Tokens: see which there are, end one. They are made by `passerelle token create` in the state directory only."""

from typing import Annotated

from fastapi import FastAPI, Path
from starlette.responses import Response

from service.api import schemas
from service.api.parts import Parts
from service.api.seen import tokens_seen
from service.api.values import TokenId, TokenKeeper, ask, there

PREFIX = "/api/v1"


def add_routes(app: FastAPI, parts: Parts) -> None:
    """The routes below /tokens."""

    @app.get(
        f"{PREFIX}/tokens",
        operation_id="list_tokens",
        summary="Tokens without secrets, for the hosts that are seen",
        tags=["tokens"],
    )
    async def list_tokens(who: TokenKeeper) -> schemas.Tokens:
        seen = tokens_seen(who, await ask(parts.reads.tokens))
        return schemas.Tokens(items=[schemas.Token.model_validate(token) for token in seen])

    @app.delete(
        f"{PREFIX}/tokens/{{token_id}}",
        operation_id="revoke_token",
        summary="End a token",
        tags=["tokens"],
        status_code=204,
    )
    async def revoke_token(
        who: TokenKeeper, token_id: Annotated[TokenId, Path(description="The part between psr_ and the dot")]
    ) -> Response:
        if not any(token.id == token_id for token in tokens_seen(who, await ask(parts.reads.tokens))):
            there(None, f"token {token_id} does not exist or has been revoked")
        is_done = await ask(parts.writes.revoke_token, token_id, by=who.name, at=parts.clock.now())
        there(is_done or None, f"token {token_id} does not exist or has been revoked")
        return Response(status_code=204)
