"""The reader of pages: it finds what people would, and a page's faults are found each by its own sentence."""

import pytest

from tests.web.reader import read

PAGE = """<!doctype html>
<html lang="en"><head><title>Leases · passerelle</title><link rel="stylesheet" href="/static/style.css?1">
<script src="/static/htmx.js" defer></script></head>
<body><nav aria-label="Pages"><a href="/history">History</a></nav>
<main><h1>Leases</h1>
<h2 id="all">All <em>guests</em></h2>
<form method="get" action="/leases">
  <label>Bridge <select name="bridge"><option value="">all<option selected>vmbr1</select></label>
  <label for="q">Name</label> <input id="q" name="q" value="web">
  <input type="checkbox" name="silent" value="1" aria-label="silent"><button>Show</button>
</form>
<table class="cards"><caption>Leases of pve1</caption>
<thead><tr><th scope="col">Address<th scope="col">State</tr></thead>
<tbody><tr><th scope="row">10.0.0.7</th>
<td data-label="State"><span class="pill good"><span class="shape" aria-hidden="true">x</span> in use</span></td></tr>
<tr><th scope="row">10.0.0.9<td data-label="State">gone &lt;b&gt;</tbody></table>
<form method="post" action="/hosts/pve1/suspend?x=1"><input type="hidden" name="csrf" value="t">
<label>Why <textarea name="reason"></textarea></label><button>Suspend</button></form>
<svg><title>Full</title><rect width="1" height="1"/></svg>
</main></body></html>"""


def test_a_page_is_read_as_people_read_it() -> None:
    page = read(PAGE)
    assert (page.title, page.h1) == ("Leases · passerelle", "Leases")
    assert page.headings == [(1, "Leases"), (2, "All guests")]
    assert page.links == {"History": "/history"}
    assert page.states == ["in use"]
    assert page.faults == []
    table = page.table("Leases")
    assert table.columns == ("Address", "State")
    assert table.rows == [{"Address": "10.0.0.7", "State": "x in use"}, {"Address": "10.0.0.9", "State": "gone <b>"}]
    assert table.row(Address="10.0.0.9")["State"] == "gone <b>"
    assert page.form("/leases").fields == {"bridge": "vmbr1", "q": "web"}
    assert page.form("/leases").options("bridge") == ["", "vmbr1"]
    suspend = page.form("/hosts/pve1/suspend")
    assert (suspend.method, list(suspend.buttons)) == ("post", ["Suspend"])
    assert suspend.filled(reason="moving") == {"csrf": "t", "reason": "moving"}


def test_what_is_not_there_is_no_empty_answer() -> None:
    page = read(PAGE)
    for ask in (lambda: page.table("Pools"), lambda: page.form("/x"), lambda: page.table("Leases").row(Address="1")):
        with pytest.raises(LookupError):
            ask()
    with pytest.raises(KeyError, match="no until"):
        page.form("/hosts/pve1/suspend").filled(until="tomorrow")


FAULTS = {
    "not one <html> with a lang": (' lang="en"', ""),
    "not one <title> with words": ("<title>Leases · passerelle</title>", ""),
    "2 <h1>, not one": ("<h2 id", "<h1>again</h1><h2 id"),
    "follows <h1>": ("h2", "h3"),
    "elements have the id 'q'": ('id="all"', 'id="q"'),
    "is no id of the page": ('for="q"', 'for="w"'),
    "without a label": (' aria-label="silent"', ""),
    "leads to #none": ("/history", "#none"),
    "without words": (">Suspend<", "><"),
    "without a <title>": ("<title>Full</title>", ""),
    "without a caption": ("<caption>Leases of pve1</caption>", ""),
    "without scope": (' scope="row">10.0.0.9', ">10.0.0.9"),
    "without data-label": (' data-label="State">gone', ">gone"),
    "has style inline": ("<em>", '<em style="color: red">'),
    "is inline": ("<em>", "<script>1</script><em>"),
    "has onclick": ("<em>", '<em onclick="x()">'),
    "leads elsewhere": ('src="/static/htmx.js"', 'src="//cdn.example/htmx.js"'),
    "has href twice": ('<a href="/history"', '<a href="/history" href="/x"'),
    "posts without the token": ('<input type="hidden" name="csrf" value="t">', ""),
    "no button": ("<button>Show</button>", ""),
    "<iframe>": ("<em>", "<iframe></iframe><em>"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found(fault: str) -> None:
    old, new = FAULTS[fault]
    spoilt = PAGE.replace(old, new)
    assert spoilt != PAGE
    found = read(spoilt).faults
    assert any(fault in sentence for sentence in found), found


@pytest.mark.parametrize(
    "scheme", ["javascript:x()", "data:text/html,x", "vbscript:x", "\\\\example.org", " //example.org"]
)
def test_a_link_that_would_run_something_is_a_fault(scheme: str) -> None:
    assert any("leads elsewhere" in fault for fault in read(PAGE.replace('"/history"', f'"{scheme}"')).faults)


@pytest.mark.parametrize("html", ["<p><b>x</p>", "<div><p>x</div></div>", "<main>", "<ul><li>x</ol>"])
def test_html_that_a_browser_has_to_correct_is_refused(html: str) -> None:
    with pytest.raises(ValueError, match="line"):
        read(html)
