"""Desired, last applied and observed in; drift and a plan out. Pure."""
