// What the ε slider and the live page have in common.
"use strict";
window.fgsm = (() => {
  /** An HTML element with properties and children. */
  const element = (name, options = {}, ...children) => {
    const made = Object.assign(document.createElement(name), options);
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

  return { element, percent, bars };
})();
