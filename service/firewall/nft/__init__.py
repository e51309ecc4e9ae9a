"""A host's tables in the language of nft: made, read back, and how far a change of them reaches. Pure."""
