"use strict";
/* Keeps a page fresh: on news its <main> is read again, and only what is different is changed (morph of htmx).

   live      the stream of news is open
   polling   it is not, so the page is read again every 30 s
   stale     the service did not answer: since when, by the clock of the service

   A hidden tab follows nothing. What the page reads on its own is not a click of the session (header Passerelle-Live). */
(() => {
  const shown = document.getElementById("live");
  const main = document.getElementById("main");
  if (!shown || !main || !window.EventSource) return;

  const TOGETHER_MS = 300, POLL_MS = 30000;
  const WORDS = { live: ["good", "\u25cf", "live"], polling: ["busy", "\u25d0", "polling"], stale: ["warn", "\u25b2", ""] };
  let source = null, soon = 0, poll = 0, isReading = false, isDue = false, isStale = false;
  let answeredAt = new Date();

  const clock = (at) => at.toISOString().slice(11, 16) + " UTC";

  function show() {
    const isOpen = source !== null && source.readyState === EventSource.OPEN;
    const [tone, shape, word] = WORDS[isStale ? "stale" : isOpen ? "live" : "polling"];
    const text = isStale ? `stale since ${clock(answeredAt)}` : word;
    if (shown.textContent === `${shape} ${text}`) return;
    const mark = document.createElement("span");
    mark.className = "shape";
    mark.setAttribute("aria-hidden", "true");
    mark.textContent = shape;
    shown.className = `pill ${tone}`;
    shown.replaceChildren(mark, ` ${text}`);
  }

  function later() {
    if (!soon) soon = setTimeout(() => { soon = 0; read(); }, TOGETHER_MS);
  }

  async function read() {
    if (isReading) { isDue = true; return; }
    isReading = true;
    try {
      const answer = await fetch(location.href, { headers: { "Passerelle-Live": "1" }, cache: "no-store" });
      if (answer.redirected) { location.assign(answer.url); return; }
      if (answer.status >= 500 || answer.status === 429) throw new Error(`answered ${answer.status}`);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("main");
      if (!fresh) throw new Error("no page");
      await put(fresh);
      document.title = page.title;
      answeredAt = new Date(answer.headers.get("Date") || Date.now());
      isStale = false;
    } catch (error) {
      isStale = true;
    } finally {
      isReading = false;
    }
    show();
    if (isDue) { isDue = false; later(); }
  }

  async function put(fresh) {
    keepOpen(fresh);
    if (fresh.innerHTML === main.innerHTML) return;
    if (!window.htmx) { main.replaceChildren(...fresh.childNodes); return; }
    await htmx.swap({ sourceElement: main, target: main, swap: "innerMorph", text: fresh.innerHTML, transition: false });
  }

  /* What somebody opened or closed stays so: parts with the same id, or the same heading. */
  function keepOpen(fresh) {
    const nameOf = (one) => one.id || one.querySelector("summary")?.textContent.trim() || "";
    const known = new Map([...main.querySelectorAll("details")].map((one) => [nameOf(one), one.open]));
    for (const one of fresh.querySelectorAll("details")) {
      const wasOpen = known.get(nameOf(one));
      if (wasOpen !== undefined) one.open = wasOpen;
    }
  }

  function follow() {
    unfollow();
    source = new EventSource(shown.dataset.live);
    source.onopen = () => { show(); later(); };  // what happened before the stream was open is not in it
    source.onmessage = later;
    source.addEventListener("gap", later);
    source.onerror = () => { show(); if (source && source.readyState === EventSource.CLOSED) later(); };
    show();
  }

  function unfollow() {
    if (source) source.close();
    source = null;
  }

  function tick() {
    if (source === null || source.readyState === EventSource.CLOSED) follow();
    if (isStale || source.readyState !== EventSource.OPEN) read();
  }

  function look() {
    clearInterval(poll);
    if (document.hidden) { unfollow(); return; }
    poll = setInterval(tick, POLL_MS);
    follow();
  }

  document.addEventListener("visibilitychange", () => { look(); if (!document.hidden) later(); });
  addEventListener("pagehide", unfollow);
  addEventListener("pageshow", (event) => { if (event.persisted) look(); });
  look();
})();
