"""The firewall at three levels: its terms, Proxmox's files, and what becomes of a packet. Pure."""
