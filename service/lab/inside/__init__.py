"""What runs inside the lab's own namespaces. Nothing outside this package imports it, but for the addresses."""
