"""Proxmox's files: read as its parsers do, written, changed in place. Pure."""
