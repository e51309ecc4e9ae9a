"""`passerelle whoami`: who asks, as the service understands it."""

from service.cli.reading import Output


def whoami(*, output: Output = "table") -> int:
    """Show whose token the commands use, and what it may do on which hosts.

    Parameters
    ----------
    output
        table for people, json for programs.
    """
    from service.cli.client import Client
    from service.cli.output import show_json, show_table, tell

    found = Client().get("whoami")
    if output == "json":
        show_json(found)
        return 0
    kind = "a person who signed in" if found["how"] == "sign-in" else "a token"
    tell(f"{found['name']}: {kind}, {found['id']} in the audit log")
    show_table(["scopes", "hosts"], found["grants"], empty="may do nothing")
    return 0
