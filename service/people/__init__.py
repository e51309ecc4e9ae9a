"""The People edge: who a person is, by the word of an issuer (OpenID Connect). The one room that knows joserfc."""
