// Keys for those who like them: nothing needs one. The page /help lists them.
"use strict";
(() => {
  const places = { f: "/", a: "/applies", l: "/leases", h: "/history", t: "/topology", s: "/settings" };
  let isGoing = false;
  addEventListener("keydown", (event) => {
    const writes = event.target.closest("input, select, textarea, [contenteditable]");
    if (writes || event.ctrlKey || event.metaKey || event.altKey) return;
    const place = isGoing ? places[event.key] : undefined;
    isGoing = event.key === "g";
    if (place) {
      location.assign(place);
    } else if (event.key === "/") {
      event.preventDefault();
      document.getElementById("search").focus();
    } else if (event.key === "?") {
      location.assign("/help");
    }
  });
})();
