"""Rules about packets as people write them, for the sections that hold some: `firewall`, and `guests.*.firewall`."""
