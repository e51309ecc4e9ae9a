"""What becomes of a packet, by Proxmox's chains and by those of a host: compiled, then evaluated. Pure."""
