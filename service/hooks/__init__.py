"""Webhook receivers: what a call has to prove, and how each kind of forge says what was pushed. Pure."""
