"""Bytes to HostSpec or findings: YAML with positions, one file a host, the fleet. Pure.

The kinds are passed in, never imported.
"""
