// The search page: excerpts hold what a reader sees.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const plain = Search.htmlToText;
  Search.htmlToText = (text, ...rest) => {
    const page = new DOMParser().parseFromString(text, "text/html");
    const hidden = "details, .mathml, .epsilon-slider, .highlight, .reading-time, .foot";
    for (const part of page.querySelectorAll(hidden)) part.remove();
    return plain(page.documentElement.outerHTML, ...rest);
  };
  if (location.protocol === "file:") {
    const said = document.createElement("p");
    said.textContent = "From a file, a browser lets search find pages, but not show excerpts.";
    document.querySelector("#search-results")?.before(said);
  }
});
