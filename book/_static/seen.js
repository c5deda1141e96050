// Can you see it? The reader says which of two pictures was changed; staircase.js decides what is
// shown next and what the answers come to, pixels.js computes the pictures.
"use strict";
(() => {
  const { element, drawn } = fgsm;
  const root = document.querySelector(".seen-test");
  // What the notebook found out about the network, see notebooks/can_you_see_it.py.
  const facts = JSON.parse(root.querySelector('script[type="application/json"]').textContent);

  const BLANK = 400; // milliseconds without pictures, or a change would be seen as a flicker
  // CSS pixels: of a window's height, for what stands above and below the pictures; beside those that
  // stand in a column; and between two.
  const ABOVE_AND_BELOW = 210;
  const BESIDE = 32;
  const GAP = 8;
  const KEYS = { ArrowLeft: 0, 1: 0, ArrowRight: 1, 2: 1 };

  // --- the parts of the page ---------------------------------------------------------------------

  function button(text, action, className = "") {
    const made = element("button", { type: "button", className }, text);
    made.addEventListener("click", action);
    return made;
  }

  const start = root.querySelector(".start");
  const message = element("p", { className: "message" });
  const said = element("p", { className: "said" });
  const canvases = [0, 1].map(() => element("canvas", { width: facts.size, height: facts.size }));
  const choices = canvases.map((canvas, i) => {
    const made = button("", () => answer(i), "choice");
    made.setAttribute("aria-label", `Picture ${i + 1}`);
    made.append(canvas, element("span", {}, `${i + 1}`));
    return made;
  });
  const pair = element("div", { className: "pair", tabIndex: -1 }, ...choices);
  const keys = element("p", { className: "keys" }, "Tap a picture, or press ← or →, 1 or 2.");
  const stopping = button("Stop here", finish, "stop");
  const trial = element("div", { className: "trial", hidden: true }, pair, keys, stopping);
  const result = element("div", { className: "result", tabIndex: -1, hidden: true });

  function build() {
    message.setAttribute("role", "alert");
    said.setAttribute("aria-live", "polite");
    pair.setAttribute("role", "group");
    pair.setAttribute("aria-label", "Which picture was changed?");
    result.setAttribute("role", "group");
    result.setAttribute("aria-label", "Your result");
    start.append(message);
    root.append(said, trial, result);
    start.querySelector("button").addEventListener("click", begin);
    // Only while the focus is in the test: elsewhere, keys do what they always do.
    root.addEventListener("keydown", (event) => {
      if (trial.hidden || !(event.key in KEYS) || event.ctrlKey || event.altKey || event.metaKey)
        return;
      event.preventDefault();
      if (!event.repeat) answer(KEYS[event.key]);
    });
    window.addEventListener("resize", fit);
    window.addEventListener("hashchange", () => seedOfAddress() !== null && show(start));
  }

  /** Start, trial or result: one of them is there, and has the focus. */
  function show(shown) {
    for (const one of [start, trial, result]) one.hidden = one !== shown;
    if (shown !== result) said.textContent = "";
    const focused = { trial: pair, result, start: start.querySelector("button") };
    focused[shown.classList[0]].focus({ preventScroll: true });
    root.scrollIntoView();
  }

  /** As many whole pixels of the screen for each of a picture as there is room for. */
  function fit() {
    if (trial.hidden) return;
    const { devicePixelRatio, innerHeight } = window;
    const times = (width, height) =>
      Math.floor((Math.min(width, height) * devicePixelRatio) / facts.size);
    const high = innerHeight - ABOVE_AND_BELOW;
    const row = times((root.clientWidth - GAP) / 2, high);
    const column = times(root.clientWidth - BESIDE, (high - GAP) / 2);
    pair.classList.toggle("stacked", row < 1 || column > row);
    const side = (Math.max(1, row, column) * facts.size) / devicePixelRatio;
    for (const canvas of canvases) canvas.style.width = canvas.style.height = `${side}px`;
  }

  // --- the test ----------------------------------------------------------------------------------

  let session = null;
  let seed = 0;
  let painters = null; // of the photographs, in their order
  let waiting = 0; // for the end of the blank

  const seedOfAddress = () => {
    const found = /^#seed=(\d{1,9})$/.exec(location.hash);
    return found && Number(found[1]);
  };

  /** The photographs and their signs, which are fetched when a test begins for the first time. */
  const arrived = () =>
    new Promise((done, failed) => {
      fgsm.photographs = (data) => Promise.all(data.map(fgsm.painter)).then(done, failed);
      const script = element("script", { src: root.dataset.pictures });
      script.addEventListener("error", failed);
      root.append(script);
    });

  async function begin() {
    seed = seedOfAddress() ?? Math.floor(1e9 * Math.random());
    message.textContent = "";
    try {
      painters ??= await arrived();
    } catch {
      message.textContent = "The photographs did not arrive. Begin once more, please.";
      return;
    }
    history.replaceState(history.state, "", `#seed=${seed}`);
    session = fgsm.session(seed, painters.length);
    show(trial);
    fit();
    next();
  }

  function again() {
    history.replaceState(history.state, "", "#"); // another seed
    begin();
  }

  /** Show the next pair, after a blank; or the result. */
  function next() {
    const shown = session.pair();
    if (!shown) return finish();
    const { number, picture, epsilon, kind, changed } = shown;
    said.textContent = `Pair ${number} of ${session.pairs}: which one was changed?`;
    pair.classList.add("blank");
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      canvases.forEach((canvas, i) => {
        painters[picture](canvas, i === changed ? `image ${kind}` : "clean", epsilon);
      });
      pair.classList.remove("blank");
    }, BLANK);
  }

  function answer(chosen) {
    if (trial.hidden || pair.classList.contains("blank")) return;
    session.answer(chosen);
    next();
  }

  // --- the result --------------------------------------------------------------------------------

  /** An ε in 1/255; off the scale, nobody can say where. */
  const size = (epsilon) => {
    if (epsilon < 1) return "below 1";
    return epsilon > fgsm.largest ? `above ${fgsm.largest}` : epsilon.toFixed(1);
  };
  /** A threshold and, where its ends do not both lie off the scale, its interval. */
  const withRange = ({ epsilon, low, high }) => {
    const range = size(low) === size(high) ? "" : ` (${size(low)} to ${size(high)})`;
    return `${size(epsilon)}/255${range}`;
  };

  function finish() {
    clearTimeout(waiting);
    const { signs, control } = session.answers;
    if (!signs.length || !control.length) return show(start);
    const found = { signs: fgsm.threshold(signs), control: fgsm.threshold(control) };
    const all = [...signs, ...control];
    const right = all.filter(([, was]) => was).length;
    said.textContent =
      `You were right in ${right} of ${all.length} pairs. Your threshold is ` +
      `${withRange(found.signs)} for FGSM, ${withRange(found.control)} for random signs. ` +
      `${compared(found)}`;
    result.replaceChildren(
      drawing(found),
      table(found),
      element(
        "p",
        {},
        `In brackets: the interval that holds a threshold with 95%. This page's address, with seed ` +
          `${seed}, leads to the same photographs, sides and turns.`,
      ),
      button("Once more, with other pairs", again),
    );
    show(result);
  }

  /** What the intervals allow to say: of the two kinds of step, and of reader and network. */
  function compared({ signs, control }) {
    const kinds =
      signs.high < control.low
        ? "You see FGSM's steps at a smaller ε than random ones. "
        : control.high < signs.low
          ? "You see random steps at a smaller ε than FGSM's. "
          : "The intervals overlap: so few answers do not tell which of the two you see better. ";
    const { fooled, network } = facts;
    if (!fooled.signs.length) return kinds;
    const median = fooled.median;
    if (signs.low > median)
      return `${kinds}What fools ${network} (median ${median}/255) is smaller than what you see.`;
    if (signs.high < median)
      return `${kinds}You see steps that do not yet fool ${network} (median ${median}/255).`;
    return `${kinds}They do not tell whether you see what fools ${network} (median ${median}/255).`;
  }

  /** Reader, network and ΔE, for FGSM and for random signs. */
  function table(found) {
    const rows = [["you", withRange(found.signs), withRange(found.control)], ...facts.rows];
    const head = ["who", "FGSM", "random signs"].map((text) => element("th", { scope: "col" }, text));
    const body = rows.map(([name, ...cells]) => {
      const row = element("tr", {}, element("th", { scope: "row" }, name));
      cells.forEach((text, i) => {
        const cell = element("td", {}, text);
        cell.dataset.label = head[i + 1].textContent;
        row.append(cell);
      });
      return row;
    });
    const shown = element("table", {}, element("caption", {}, "From which ε, in 8 bits"));
    shown.append(element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
    return shown;
  }

  const box = { left: 6, right: 354, top: 26, row: 42, largest: 64, smallest: 0.5 };
  const along = (epsilon) => {
    const inside = Math.min(Math.max(epsilon, box.smallest), box.largest);
    const share = Math.log2(inside / box.smallest) / Math.log2(box.largest / box.smallest);
    return box.left + share * (box.right - box.left);
  };

  /** The same on an axis of ε; the table says it in words. */
  function drawing(found) {
    const rows = [
      ["fgsm", "you, FGSM", found.signs],
      ["random", "you, random signs", found.control],
      ["wrong", `${facts.network} fooled, FGSM`, facts.fooled.signs],
      ["wrong", `${facts.network} fooled, random signs`, facts.fooled.control],
    ];
    const bottom = box.top + box.row * rows.length;
    const svg = drawn("svg", { viewBox: `0 0 360 ${bottom + 36}`, "aria-hidden": "true" });
    for (const epsilon of [1, 2, 4, 8, 16, 32]) {
      const x = along(epsilon);
      svg.append(
        drawn("line", { class: "grid", x1: x, x2: x, y1: box.top, y2: bottom }),
        drawn("text", { x, y: bottom + 15, "text-anchor": "middle" }, `${epsilon}`),
      );
    }
    const middle = { x: (box.left + box.right) / 2, y: bottom + 31, "text-anchor": "middle" };
    svg.append(drawn("text", middle, "ε in 1/255"));
    if (facts.visible) {
      const x = along(facts.visible);
      svg.append(
        drawn("line", { class: "rule", x1: x, x2: x, y1: box.top - 6, y2: bottom }),
        drawn("text", { x, y: box.top - 11, "text-anchor": "middle" }, facts.visible_name),
      );
    }
    rows.forEach(([className, name, values], i) => {
      const y = box.top + box.row * i + 30;
      const row = drawn("g", { class: className });
      row.append(drawn("text", { x: box.left, y: y - 13 }, name));
      if (Array.isArray(values)) row.append(...crosses(values, y));
      else {
        row.append(
          drawn("line", { x1: along(values.low), x2: along(values.high), y1: y, y2: y }),
          drawn("circle", { cx: along(values.epsilon), cy: y, r: 5 }),
        );
      }
      svg.append(row);
    });
    return svg;
  }

  /** A cross for each photograph that fools; those at one ε stand side by side. */
  function crosses(values, y) {
    if (!values.length) return [drawn("text", { x: along(1), y: y + 5 }, facts.none)];
    return values.map((epsilon, i) => {
      const before = values.slice(0, i).filter((other) => other === epsilon).length;
      const x = along(epsilon) + 12 * before;
      return drawn("path", { d: `M${x - 4},${y - 4}l8,8m0,-8l-8,8` });
    });
  }

  build();
})();
