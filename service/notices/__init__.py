"""The Notices edge: it informs people of what happened. Nothing waits for it, and nothing fails because of it."""
