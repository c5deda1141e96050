// The claims: buttons show those of one verdict, and a link to a claim opens it.
"use strict";
(() => {
  const claims = document.querySelector(".claims");
  const buttons = [...claims.querySelectorAll(".filter button")];

  /** Show the claims of one kind, and all for an empty one; a heading without claims goes, too. */
  function filter(kind) {
    for (const button of buttons) button.setAttribute("aria-pressed", button.value === kind);
    for (const group of claims.querySelectorAll("tbody")) {
      const rows = [...group.querySelectorAll("tr[id]")];
      for (const row of rows) row.hidden = kind && !row.dataset.is.split(" ").includes(kind);
      group.hidden = rows.every((row) => row.hidden);
    }
  }

  /** Open the claim that the address names. */
  function follow() {
    const row = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!row?.matches(".claims tr")) return;
    if (row.hidden) filter("");
    row.querySelector("details").open = true;
    row.scrollIntoView();
  }

  for (const button of buttons) button.addEventListener("click", () => filter(button.value));
  window.addEventListener("hashchange", follow);
  follow();
})();
