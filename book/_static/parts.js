// What the pages' scripts have in common, and what every page has: figures that can be enlarged, and
// cards that show where a link leads.
"use strict";
(() => {
  /** An HTML element with properties and children. */
  const element = (name, options = {}, ...children) => {
    const made = Object.assign(document.createElement(name), options);
    made.append(...children);
    return made;
  };

  /** An element of an SVG drawing with attributes and children. */
  const drawn = (name, attributes = {}, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  const percent = (value) => `${(100 * value).toFixed(1)}%`;

  /** A table of the most probable classes; `show` takes rows of [name, probability, is label]. */
  function bars(count, caption) {
    const rows = Array.from({ length: count }, () => {
      const name = element("th", { scope: "row" });
      const fill = element("span", { className: "fill" });
      const value = element("td", { className: "value" });
      const row = element("tr", {}, name, element("td", { className: "bar" }, fill), value);
      row.children[1].setAttribute("aria-hidden", "true");
      return { row, name, fill, value };
    });
    const table = element("table", {}, element("tbody", {}, ...rows.map(({ row }) => row)));
    table.prepend(element("caption", {}, caption));
    const show = (top) => {
      rows.forEach(({ row, name, fill, value }, i) => {
        const [what, probability, right] = top[i];
        row.className = right ? "right" : "";
        name.textContent = right ? `✓ ${what}` : what;
        fill.style.width = percent(probability);
        value.textContent = percent(probability);
      });
    };
    return { table, show };
  }

  /** A click on a figure, or its button, shows it as large as the window. */
  function enlarge() {
    const close = element("button", { type: "button", autofocus: true }, "Close");
    const large = element("div", { className: "large" });
    const dialog = element("dialog", { className: "enlarged" }, close, large);
    dialog.setAttribute("aria-label", "Enlarged figure");
    dialog.addEventListener("click", () => dialog.close());
    document.body.append(dialog);
    for (const figure of document.querySelectorAll("figure.themed")) {
      const open = () => {
        const pictures = [...figure.querySelectorAll("picture img")];
        const shown = pictures.find((image) => image.offsetParent) ?? pictures[0];
        const copy = element("img", { src: shown.getAttribute("src"), alt: shown.alt });
        copy.width = shown.getAttribute("width");
        copy.height = shown.getAttribute("height");
        large.replaceChildren(copy);
        dialog.showModal();
      };
      const button = element("button", { type: "button", className: "enlarge" }, "⤢");
      button.setAttribute("aria-label", "Enlarge this figure");
      button.addEventListener("click", open);
      for (const picture of figure.querySelectorAll("picture")) {
        picture.addEventListener("click", open);
      }
      figure.prepend(button);
    }
  }

  // Cards: a citation, a term, an equation or a figure, shown beside the link that leads to it.

  const pages = new Map();

  /** The document that a link leads to, as far as this page may read it. */
  function pageOf(address) {
    const page = address.href.replace(/#.*/, "");
    if (page === location.href.replace(/#.*/, "")) return document;
    if (!pages.has(page)) {
      const read = async () => {
        const text = await (await fetch(page)).text();
        return new DOMParser().parseFromString(text, "text/html");
      };
      pages.set(page, read().catch(() => null)); // from a file, say: the link still works
    }
    return pages.get(page);
  }

  /** What a card shows of a link's target; null where that is a whole section. */
  async function target(link) {
    const address = new URL(link.href);
    if (!address.hash || address.origin !== location.origin) return null;
    const page = await pageOf(address);
    const found = page?.getElementById(decodeURIComponent(address.hash.slice(1)));
    const whole = found?.closest("dt")?.nextElementSibling ?? found?.closest(".citation, .math");
    const shown = whole ?? found?.querySelector("figcaption, caption");
    if (!shown) return null;
    const copy = shown.cloneNode(true);
    for (const part of copy.querySelectorAll(".headerlink, .mathml")) part.remove();
    for (const part of copy.querySelectorAll("a")) part.replaceWith(...part.childNodes);
    return copy.childNodes;
  }

  function cards() {
    const card = element("div", { id: "link-card", className: "link-card", hidden: true });
    card.setAttribute("role", "tooltip");
    document.body.append(card);
    let wanted = null;
    const close = () => {
      wanted?.removeAttribute("aria-describedby");
      wanted = null;
      card.hidden = true;
    };
    const open = async (link) => {
      if (link === wanted) return;
      close();
      wanted = link;
      const content = await target(link);
      if (!content || wanted !== link) return;
      card.replaceChildren(...content);
      card.hidden = false;
      link.setAttribute("aria-describedby", card.id);
      const { left, top, bottom } = link.getBoundingClientRect();
      const room = document.documentElement.clientWidth - card.offsetWidth - 8;
      const below = bottom + card.offsetHeight + 8 < window.innerHeight;
      card.style.left = `${window.scrollX + Math.max(8, Math.min(left, room))}px`;
      card.style.top = `${window.scrollY + (below ? bottom + 6 : top - card.offsetHeight - 6)}px`;
    };
    for (const link of document.querySelectorAll("article a.reference.internal[href*='#']")) {
      link.removeAttribute("title"); // the browser's own tooltip would lie over the card
      link.addEventListener("mouseenter", () => open(link));
      link.addEventListener("mouseleave", close);
      link.addEventListener("focus", () => open(link));
      link.addEventListener("blur", close);
      let tapped = false;
      link.addEventListener("pointerdown", ({ pointerType }) => {
        tapped = pointerType === "touch" && wanted !== link;
      });
      link.addEventListener("click", (event) => {
        if (!tapped) return; // the second tap follows the link
        event.preventDefault();
        tapped = false;
        open(link);
      });
    }
    document.addEventListener("keydown", ({ key }) => key === "Escape" && close());
  }

  globalThis.fgsm = Object.assign(globalThis.fgsm ?? {}, { element, drawn, percent, bars });
  enlarge();
  cards();
})();
