// Live regions and copy buttons. Everything else works without a script.
(() => {
  "use strict";

  const region = document.querySelector("[data-live]");
  const MOST = 30000; // Milliseconds between two looks, however often the server fails.

  function prepare(root) {
    for (const button of root.querySelectorAll("[data-copy], [data-pause]")) button.hidden = false;
    for (const each of root.querySelectorAll("details")) each.dataset.was = each.open;
  }

  prepare(document);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button && navigator.clipboard) navigator.clipboard.writeText(button.dataset.copy).then(() => confirm(button));
  });

  // For a moment the button says that it is done.
  function confirm(button) {
    button.classList.add("saga-copied");
    setTimeout(() => button.classList.remove("saga-copied"), 1500);
  }

  if (!region) return;

  let etag = null;
  let paused = false;
  let every = Number(region.dataset.every) * 1000;
  let ended = "ended" in region.dataset;

  // Whoever reads or types in the region is not to have it pulled away.
  function inUse() {
    const opened = [...region.querySelectorAll("details")].some((each) => each.dataset.was !== String(each.open));
    const selected = document.getSelection();
    const selects = selected && !selected.isCollapsed && region.contains(selected.anchorNode);
    return opened || selects || (region.contains(document.activeElement) && document.activeElement.matches("input, textarea, select"));
  }

  function sayWhetherItLives() {
    const state = region.querySelector("[data-state]");
    if (!state) return;
    const { liveWords, restWords, pausedWords } = state.dataset;
    const words = paused ? pausedWords : inUse() ? restWords : liveWords.replace("%s", every / 1000);
    state.textContent = ended ? "" : ` · ${words}`;
  }

  async function look() {
    const normal = Number(region.dataset.every) * 1000;
    try {
      const headers = etag ? { "If-None-Match": etag } : {};
      const response = await fetch(region.dataset.live + location.search, { headers, credentials: "same-origin" });
      if (response.status === 200 && !response.redirected) {
        etag = response.headers.get("ETag");
        region.innerHTML = await response.text();
        prepare(region);
        ended = response.headers.get("X-Saga-Ended") === "1";
      } else if (response.status === 304) {
        const since = region.querySelector("[data-since]");
        if (since) since.textContent = new Date().toLocaleTimeString("en-GB");
      } else throw new Error(String(response.status));
      every = normal;
    } catch {
      every = Math.min(every * 2, MOST);
    }
  }

  region.addEventListener("click", (event) => {
    const button = event.target.closest("[data-pause]");
    if (!button) return;
    paused = !paused;
    button.textContent = paused ? button.dataset.goOn : button.dataset.pause;
  });

  async function live() {
    if (!ended && !paused && !document.hidden && !inUse()) await look();
    setTimeout(live, every);
  }

  sayWhetherItLives();
  setInterval(sayWhetherItLives, 1000);
  setTimeout(live, every);
})();
