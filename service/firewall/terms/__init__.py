"""The words of firewalls and their numbers: rules, protocols, ports, macros, addresses as three programs read them."""
