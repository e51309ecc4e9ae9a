"""All commands by name; each is imported only when it is called."""

from cyclopts import App

from service import __version__
from service.cli.exit_codes import EXIT_CODES

app = App(
    name="passerelle",
    version=__version__,
    help="Keep the networks of hypervisors and their guests as Git describes them. The host rolls a change back unless "
    "a new connection confirms it.",
    help_epilogue=EXIT_CODES,
    suppress_keyboard_interrupt=False,
)
app.command("service.cli.lint:lint", name="lint")
app.command("service.cli.schema:schema", name="schema")
app.command("service.cli.show:show", name="show")
app.command("service.cli.explain:explain", name="explain")
app.command("service.cli.plan:plan", name="plan")
app.command("service.cli.adopt:adopt", name="adopt")
app.command("service.cli.apply:apply", name="apply")
app.command("service.cli.look:look", name="look")
app.command("service.cli.waiting:wait", name="wait")
app.command("service.cli.drill:drill", name="drill")
app.command("service.cli.retire:retire", name="retire")
app.command("service.cli.migrate:migrate", name="migrate")
app.command("service.cli.suspend:suspend", name="suspend")
app.command("service.cli.suspend:resume", name="resume")
app.command("service.cli.suspend:suspensions", name="suspensions")
app.command("service.cli.rollback:rollback", name="rollback")
app.command("service.cli.suspend:windows", name="windows")
app.command("service.cli.letting:latch", name="latch")
app.command("service.cli.letting:release", name="release")
app.command("service.cli.belonging:host_app", name="host")
app.command("service.cli.belonging:source_app", name="source")
app.command("service.cli.rollout:rollout", name="rollout")
app.command("service.cli.reading:status", name="status")
app.command("service.cli.reading:drift", name="drift")
app.command("service.cli.reading:leases", name="leases")
app.command("service.cli.history:app", name="history")
app.command("service.cli.events:events", name="events")
app.command("service.cli.guests:guests", name="guests")
app.command("service.cli.guests:pools", name="pools")
app.command("service.cli.guests:fix", name="fix")
app.command("service.cli.topology:topology", name="topology")
app.command("service.cli.sites:sites", name="sites")
app.command("service.cli.trace:trace", name="trace")
app.command("service.cli.firewall:firewall", name="firewall")
app.command("service.cli.interfaces:app", name="interfaces")
app.command("service.cli.serve:serve", name="serve")
app.command("service.cli.doctor:doctor", name="doctor")
app.command("service.cli.db:db", name="db")
app.command("service.cli.backup:backup", name="backup")
app.command("service.cli.backup:restore", name="restore")
app.command("service.cli.notices:notices", name="notices")
app.command("service.cli.login:login", name="login")
app.command("service.cli.login:logout", name="logout")
app.command("service.cli.whoami:whoami", name="whoami")
app.command("service.cli.key:key", name="key")
app.command("service.cli.token:token", name="token")
app.command("service.cli.receiver:receiver", name="receiver")
app.command("service.cli.completion:completion", name="completion")
app.command("service.cli.lab:app", name="lab")


def load_all() -> None:
    """Import every command, so that the list of all says what each is for."""
    for name in app:
        if not name.startswith("-"):
            app[name]
