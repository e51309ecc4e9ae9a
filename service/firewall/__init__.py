"""The firewall in four wings: its terms, Proxmox's files, what becomes of a packet, and a host's nft tables. Pure."""
