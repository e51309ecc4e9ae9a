"""Connections to the hosts: the one room that knows SSH."""
