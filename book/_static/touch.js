// What one can touch on the page about the method: an image of two numbers, one of four pixels, and
// the symbols of the equations. Where no script runs, the notebook's text has the same numbers.
"use strict";
(() => {
  const { element } = fgsm;

  const set = (node, attributes) => {
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };
  const drawn = (name, attributes = {}, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    made.append(...children);
    return set(made, attributes);
  };

  /** Without what floats add to decimals: 0.3, and not 0.30000000000000004. */
  const exact = (value) => Math.round(1e6 * value) / 1e6;
  const clip = (value) => exact(Math.min(Math.max(value, 0), 1));
  /** A number as the page writes it, with a true minus. */
  const written = (value, digits = 3) => `${Number(value.toFixed(digits))}`.replace("-", "−");
  const numbers = (text) => text.split(" ").map(Number);

  // --- what both images have: sliders, and the classifier's answer before and after the step -----

  /** A slider in hundredths. `change` is called while it moves, and with true once it rests. */
  function range(name, label, start, max, change) {
    const input = element("input", { type: "range", min: 0, max, step: 0.01, value: start });
    input.setAttribute("aria-label", label);
    const reading = element("span", { className: "reading" });
    const place = element("label", { className: "range" }, name, input, reading);
    input.addEventListener("input", () => change(false));
    input.addEventListener("change", () => change(true));
    const show = (text, aloud) => {
      reading.textContent = text;
      input.setAttribute("aria-valuetext", aloud);
    };
    return { place, show, value: () => Number(input.value) };
  }

  /** What a classifier with the logits z and 0 sees in an image of class 0. */
  function answer(z) {
    const sure = (1 / (1 + Math.exp(-Math.abs(z)))).toFixed(3);
    if (z === 0) return { kind: "", sign: "", seen: "a tie", sure };
    if (z > 0) return { kind: "right", sign: "✓ ", seen: "class 0", sure };
    return { kind: "wrong", sign: "✗ ", seen: "class 1", sure };
  }

  /** An image in gray, and what the classifier sees in it. */
  function answerIn(title, count) {
    const pixels = Array.from({ length: count }, () => element("span"));
    const image = set(element("span", { className: "image" }, ...pixels), { "aria-hidden": true });
    const [seen, sure, logit] = [element("strong"), element("span"), element("span")];
    const place = element("p", {}, title, image, element("span", {}, seen, " ", sure), logit);
    const show = (x, z) => {
      const { kind, sign, ...said } = answer(z);
      place.className = `answer ${kind}`;
      seen.textContent = sign + said.seen;
      sure.textContent = said.sure;
      logit.textContent = `z₀ = ${written(z)}`;
      x.forEach((value, i) => {
        pixels[i].style.background = `rgb(${Array(3).fill(Math.round(255 * value))})`;
      });
    };
    return { place, show };
  }

  /** The two answers, side by side, and in a sentence that is said when a slider rests. */
  function answers(count) {
    const [before, after] = ["before", "after the step"].map((title) => answerIn(title, count));
    const place = element("div", { className: "answers" }, before.place, after.place);
    const show = (image, moved) => {
      before.show(...image);
      after.show(...moved);
      const [was, is] = [answer(image[1]), answer(moved[1])];
      return (
        `Before: ${was.seen}, confidence ${was.sure}. ` +
        `After the step: ${is.seen}, ${is.sure}; z₀ = ${written(moved[1])}.`
      );
    };
    return { place, show };
  }

  /** Puts a figure in the place of its text; returns a function that says something aloud. */
  function build(root, title, ...children) {
    const aloud = element("p", { className: "visually-hidden" });
    set(aloud, { "aria-live": "polite" });
    root.replaceChildren(element("p", { className: "title" }, title), ...children, aloud);
    set(root, { role: "group", "aria-label": title });
    return (text) => {
      aloud.textContent = text;
    };
  }

  /** A disc where the classifier is right, a cross where it is wrong: the shapes of all figures. */
  function mark() {
    const disc = drawn("circle", { class: "right", r: 4.5 });
    const cross = drawn("path", { class: "wrong", d: "M-5,-5l10,10m0,-10l-10,10" });
    const place = drawn("g", {}, disc, cross);
    const show = (x, y, z) => {
      set(place, { transform: `translate(${x} ${y})` });
      disc.style.display = z < 0 ? "none" : "";
      cross.style.display = z < 0 ? "" : "none";
    };
    return { place, show };
  }

  // --- four pixels: the terms of w·η, one below the other ----------------------------------------

  const STAIR = { label: 0, middle: 226, half: 96, top: 20, row: 18 };
  const SCALES = [0.5, 1, 2.5]; // as far as the axis of z₀ may have to reach to either side

  /** The logit on its way from before to after: a bar for each term, and below their sum. */
  function stair(count) {
    const { label, middle, half, top, row } = STAIR;
    const below = top + count * row;
    const [y, bottom] = [below + 16, below + 28];
    const zone = { y: top - 2, width: half, height: bottom - top + 2 };
    const text = (x, height, anchor, content, kind = "") =>
      drawn("text", { class: kind, x, y: height, "text-anchor": anchor }, content);
    const bars = Array.from({ length: count }, (_, i) => ({
      text: text(label, top + i * row + 13, "start", ""),
      bar: drawn("rect", { class: "term", y: top + i * row, height: row - 1 }),
    }));
    const total = text(label, y + 4, "start", "", "total");
    const way = drawn("line", { class: "way", y1: y, y2: y });
    const [start, end] = [mark(), mark()];
    const ends = [
      text(middle - half, bottom + 13, "start", ""),
      text(middle + half, bottom + 13, "end", ""),
    ];
    const svg = drawn(
      "svg",
      { viewBox: `0 0 328 ${bottom + 18}`, role: "img" },
      drawn("rect", { class: "zone wrong", x: middle - half, ...zone }),
      drawn("rect", { class: "zone right", x: middle, ...zone }),
      text(label, 12, "start", "wᵢ · ηᵢ"),
      text(middle - half / 2, 12, "middle", "class 1", "wrong"),
      text(middle + half / 2, 12, "middle", "class 0", "right"),
      drawn("line", { class: "boundary", x1: middle, x2: middle, y1: top - 2, y2: bottom }),
      text(middle, bottom + 13, "middle", "z₀ = 0"),
      ...bars.flatMap((one) => [one.text, one.bar]),
      ...[total, way, start.place, end.place, ...ends],
    );
    const show = (weights, steps, z) => {
      const terms = weights.map((w, i) => exact(w * steps[i]));
      const sum = exact(terms.reduce((a, b) => a + b, 0));
      const after = exact(z + sum);
      const scale = SCALES.find((far) => far >= Math.max(Math.abs(z), Math.abs(after)));
      const x = (value) => middle + (half * value) / scale;
      let reached = z;
      bars.forEach((one, i) => {
        const [factors, term] = [[weights[i], steps[i]].map((v) => written(v)), terms[i]];
        one.text.textContent = `${factors.join(" · ")} = ${written(term)}`;
        // Each step is against the sign of its weight: no term is above 0.
        set(one.bar, { x: x(reached + term), width: x(reached) - x(reached + term) });
        reached += term;
      });
      total.textContent = `sum = ${written(sum)}`;
      set(way, { x1: x(z), x2: x(after) });
      start.show(x(z), y, z);
      end.show(x(after), y, after);
      ends.forEach((end, i) => (end.textContent = written([-scale, scale][i])));
      const listed = terms.map((term) => written(term)).join(", ");
      set(svg, { "aria-label": `The terms of w · η: ${listed}; their sum is ${written(sum)}.` });
      return after;
    };
    return { svg, show };
  }

  function fourPixels(root) {
    const { pixels, weights, epsilon } = root.dataset;
    const w = numbers(weights);
    const names = w.map((_, i) => `x${"₁₂₃₄"[i]}`);
    const sums = w.map((weight, i) => {
      const factor = Math.abs(weight) === 1 ? "" : Math.abs(weight);
      return `${weight < 0 ? "−" : "+"} ${factor}${names[i]}`;
    });
    const sliders = numbers(pixels).map((x, i) => range(names[i], `Pixel ${i + 1}`, x, 1, show));
    const size = range("ε", "ε, the size of the step", epsilon, 0.5, show);
    const [seen, chart] = [answers(w.length), stair(w.length)];
    const note = element("p", { className: "note" });
    const say = build(
      root,
      `Four pixels: z₀ = ${sums.join(" ").replace("+ ", "")}`,
      seen.place,
      ...[...sliders, size].map(({ place }) => place),
      chart.svg,
      note,
    );

    function show(atRest) {
      const step = size.value();
      const x = sliders.map((slider) => slider.value());
      // The gradient of the cross-entropy is (p₀ − 1)·w, and p₀ < 1: its sign is that of −w.
      const moved = x.map((value, i) => clip(value - step * Math.sign(w[i])));
      const z = exact(x.reduce((sum, value, i) => sum + w[i] * value, 0));
      const steps = x.map((value, i) => exact(moved[i] - value));
      const after = chart.show(w, steps, z);
      const text = seen.show([x, z], [moved, after]);
      sliders.forEach((slider, i) => {
        const [from, to] = [written(x[i]), written(moved[i])];
        slider.show(`${from} → ${to}`, `${from}, after the step ${to}`);
      });
      size.show(written(step), written(step));
      const whole = exact(step * w.reduce((all, weight) => all + Math.abs(weight), 0));
      const clipped = names.filter((_, i) => exact(step - Math.abs(steps[i])) > 0);
      note.textContent = clipped.length
        ? `−ε‖w‖₁ = ${written(-whole)}; clipped: ${clipped.join(", ")}`
        : `−ε‖w‖₁ = ${written(-whole)}; nothing is clipped`;
      if (atRest) say(text);
    }
    show(false);
  }

  // --- two numbers: a point, and the square of all that is within ε of it ------------------------

  const CORNERS = [[1, 1], [1, -1], [-1, 1], [-1, -1]]; // prettier-ignore
  const THROW = 20;
  const box = { left: 40, top: 14, side: 250 };
  const across = (x1) => box.left + box.side * x1;
  const up = (x2) => box.top + box.side * (1 - x2);

  // The classifier. Its boundary, z₀ = 0, is a parabola.
  const border = (x1) => 0.3 + 0.8 * (x1 - 0.4) ** 2;
  const logit = ([x1, x2]) => exact(6 * (x2 - border(x1)));
  /** The gradient of the cross-entropy of class 0, (p₀ − 1)·∇z₀. */
  const gradient = (x) => {
    const factor = -6 / (1 + Math.exp(logit(x)));
    return [-1.6 * exact(x[0] - 0.4) * factor, factor];
  };
  const corner = (x, signs, epsilon) => x.map((value, i) => clip(value + epsilon * signs[i]));

  /** The square of all images, the classes in it and the border between them. */
  function ground() {
    const ends = Array.from({ length: 51 }, (_, i) => `${across(i / 50)},${up(border(i / 50))}`);
    const [left, right, top, bottom] = [across(0), across(1), up(1), up(0)];
    const text = (x, y, content, kind = "") => drawn("text", { class: kind, x, y }, content);
    return drawn(
      "g",
      { "aria-hidden": true },
      drawn("rect", { class: "zone right", x: left, y: top, width: box.side, height: box.side }),
      drawn("path", { class: "page", d: `M${left},${bottom}L${ends.join("L")}V${bottom}z` }),
      drawn("path", { class: "zone wrong", d: `M${left},${bottom}L${ends.join("L")}V${bottom}z` }),
      drawn("path", { class: "boundary", d: `M${ends.join("L")}` }),
      drawn("rect", { class: "frame", x: left, y: top, width: box.side, height: box.side }),
      text(left + 8, top + 18, "class 0", "right"),
      text(left + 8, bottom - 8, "class 1", "wrong"),
      ...[text(left - 12, bottom + 15, "0"), text(right - 4, bottom + 15, "1")],
      ...[text(left - 12, top + 9, "1"), text((left + right) / 2, bottom + 17, "x₁")],
      text(left - 20, (top + bottom) / 2, "x₂"),
    );
  }

  /** How many of the thrown corners are where; filled where they are beyond the border. */
  function badge() {
    const count = drawn("text", { y: 4, "text-anchor": "middle" });
    const place = drawn("g", { class: "thrown" }, drawn("circle", { r: 11 }), count);
    const show = (number, [s1, s2], [x1, x2], crossed) => {
      place.style.display = number ? "" : "none";
      place.classList.toggle("crossed", crossed);
      count.textContent = number;
      // Beside the corner, so that the four never lie on one another.
      set(place, { transform: `translate(${across(x1) + 12 * s1} ${up(x2) - 12 * s2})` });
    };
    return { place, show };
  }

  function twoNumbers(root) {
    let x = numbers(root.dataset.point);
    const thrown = CORNERS.map(() => 0);
    const size = range("ε", "ε, the size of the step", root.dataset.epsilon, 0.5, show);
    const seen = answers(2);
    const square = drawn("rect", { class: "ball" });
    const badges = CORNERS.map(badge);
    const arrow = drawn("path", { class: "arrow", d: "M0,0H50m-9,-5l9,5l-9,5" });
    const slope = drawn("text", { "text-anchor": "middle" }, "∇J");
    const way = drawn("line");
    const end = mark();
    const point = drawn("circle", { class: "point", r: 6 });
    const ring = drawn("circle", { class: "ring", r: 12 });
    const handle = drawn("g", {}, drawn("circle", { class: "thumb", r: 24 }), ring, point);
    set(handle, {
      ...{ class: "handle", role: "slider", tabindex: 0, "aria-valuemin": 0, "aria-valuemax": 1 },
      "aria-label": "The image, a point: arrow keys move it",
    });
    const over = drawn("g", { "aria-hidden": true });
    over.append(square, arrow, slope, way, end.place, ...badges.map(({ place }) => place));
    const svg = drawn("svg", { viewBox: "0 0 328 290" }, ground(), over, handle);
    const found = element("p", { className: "note" });
    const button = element("button", { type: "button" }, `Throw ${THROW} random corners`);
    const say = build(
      root,
      "Two numbers: a point to drag",
      ...[seen.place, svg, size.place, element("div", { className: "throw" }, button, found)],
    );

    function show(atRest) {
      const epsilon = size.value();
      const slopes = gradient(x);
      const signs = slopes.map(Math.sign);
      const moved = corner(x, signs, epsilon);
      const [z, after] = [logit(x), logit(moved)];
      const text = seen.show([x, z], [moved, after]);
      const [low, high] = [corner(x, [-1, -1], epsilon), corner(x, [1, 1], epsilon)];
      set(square, {
        ...{ x: across(low[0]), width: box.side * (high[0] - low[0]) },
        ...{ y: up(high[1]), height: box.side * (high[1] - low[1]) },
      });
      const [a, b] = [across(x[0]), up(x[1])];
      const angle = Math.atan2(-slopes[1], slopes[0]);
      const turned = `rotate(${(180 * angle) / Math.PI})`;
      set(arrow, { transform: `translate(${a} ${b}) ${turned}` });
      set(slope, { x: a + 62 * Math.cos(angle), y: b + 62 * Math.sin(angle) + 4 });
      const target = { x2: across(moved[0]), y2: up(moved[1]) };
      set(way, { class: `way ${answer(after).kind}`, x1: a, y1: b, ...target });
      end.show(across(moved[0]), up(moved[1]), after);
      set(handle, {
        "aria-valuenow": x[0],
        "aria-valuetext": `x₁ = ${written(x[0])}, x₂ = ${written(x[1])}. ${text}`,
      });
      for (const part of handle.children) set(part, { cx: a, cy: b });
      size.show(written(epsilon), written(epsilon));
      const crossed = CORNERS.map((corners, i) => {
        const place = corner(x, corners, epsilon);
        badges[i].show(thrown[i], corners, place, logit(place) < 0);
        return logit(place) < 0 ? thrown[i] : 0;
      });
      const total = (counts) => counts.reduce((sum, count) => sum + count, 0);
      const share = `${total(crossed)} of ${total(thrown)} thrown lie beyond the boundary.`;
      found.textContent = total(thrown) ? share : "";
      if (atRest) say(text);
    }

    const moveTo = (x1, x2, atRest) => {
      x = [x1, x2].map((value) => clip(Math.round(100 * value) / 100));
      show(atRest);
    };
    const follow = ({ clientX, clientY }, atRest) => {
      const { left, top, width } = svg.getBoundingClientRect();
      const scale = 328 / width;
      const [a, b] = [(clientX - left) * scale, (clientY - top) * scale];
      moveTo((a - box.left) / box.side, 1 - (b - box.top) / box.side, atRest);
    };
    handle.addEventListener("pointerdown", ({ pointerId }) => handle.setPointerCapture(pointerId));
    handle.addEventListener("pointermove", (event) => {
      if (handle.hasPointerCapture(event.pointerId)) follow(event, false);
    });
    svg.addEventListener("click", (event) => follow(event, true)); // also at the end of a drag
    handle.addEventListener("keydown", (event) => {
      const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };
      if (!ways[event.key]) return;
      event.preventDefault(); // the page would scroll
      const [right, above] = ways[event.key].map((way) => way * (event.shiftKey ? 0.1 : 0.01));
      moveTo(x[0] + right, x[1] + above, false); // a slider says its own value
    });
    button.addEventListener("click", () => {
      for (let i = 0; i < THROW; i += 1) thrown[Math.floor(4 * Math.random())] += 1;
      show(false);
      say(found.textContent);
    });
    show(false);
  }

  // --- the symbols of the equations, and the pictures they stand for -----------------------------

  const SYMBOLS = {
    X: "the image",
    η: "the perturbation",
    ε: "the size of the step",
    "sign ∇J": "the direction of the step",
    "X̃": "the image after the step",
  };

  function symbols(figure) {
    // Drawn by MathJax, an equation is a row of groups, one for each of its terms.
    const terms = (name) => [
      ...document.querySelectorAll(`#equation-eq-${name} > svg [data-mml-node="math"] > g`),
    ];
    const [after, , image, , change] = terms("1-1");
    const [change2, , epsilon, ...direction] = terms("1-2");
    if (!image || !epsilon) return;
    // The columns of the figure: three pictures, and the signs between them.
    const columns = Array.from({ length: 5 }, () => element("span"));
    const cover = set(element("div", { className: "cover" }, ...columns), { "aria-hidden": true });
    const frame = element("div", { className: "framed" });
    figure.querySelector("picture").before(frame);
    frame.append(...figure.querySelectorAll("picture"), cover);
    const buttons = Object.entries(SYMBOLS).map(([symbol, meaning]) => {
      const button = element("button", { type: "button", value: symbol }, symbol);
      return set(button, { "aria-pressed": false, "aria-label": `${symbol}, ${meaning}` });
    });
    const row = element("div", { className: "symbols" }, "Light up: ", ...buttons);
    frame.after(set(row, { role: "group", "aria-label": "Symbols to light up in the pictures" }));

    // Each part is of a symbol; ε and the direction together are also the perturbation.
    const parts = [
      ...[image, columns[0]].map((node) => ({ node, of: ["X"] })),
      ...[change, change2].map((node) => ({ node, of: ["η"] })),
      ...[epsilon, columns[1]].map((node) => ({ node, of: ["ε", "η"] })),
      ...[...direction, columns[2]].map((node) => ({ node, of: ["sign ∇J", "η"] })),
      ...[after, columns[4]].map((node) => ({ node, of: ["X̃"] })),
      { node: columns[3], of: [] },
    ];
    let kept = null; // by a click or tap, until the next one
    const light = (symbol) => {
      for (const { node, of } of parts) {
        node.classList.toggle("lit", of.includes(symbol));
        node.classList.toggle("dim", Boolean(symbol) && !of.includes(symbol));
      }
      for (const button of buttons) button.classList.toggle("lit", button.value === symbol);
    };
    const keep = (symbol) => {
      kept = symbol === kept ? null : symbol;
      for (const button of buttons) button.setAttribute("aria-pressed", button.value === kept);
      light(kept);
    };
    for (const button of buttons) {
      button.addEventListener("click", () => keep(button.value));
      button.addEventListener("mouseenter", () => light(button.value));
      button.addEventListener("mouseleave", () => light(kept));
      button.addEventListener("focus", () => {
        if (button.matches(":focus-visible")) light(button.value);
      });
      button.addEventListener("blur", () => light(kept));
    }
    /** The symbol of that part of a drawing or figure which stands where the pointer is. */
    const under = (place, { clientX }) =>
      parts.find(({ node }) => {
        const { left, right } = node.getBoundingClientRect();
        return place.contains(node) && left <= clientX && clientX <= right;
      })?.of[0] ?? null;
    const equations = [image, epsilon].map((node) => node.ownerSVGElement);
    for (const place of [frame, ...equations]) {
      place.addEventListener("mousemove", (event) => light(under(place, event) ?? kept));
      place.addEventListener("mouseleave", () => light(kept));
    }
    for (const svg of equations) {
      svg.classList.add("touchable");
      svg.addEventListener("click", (event) => {
        const symbol = under(svg, event);
        if (symbol) keep(symbol);
      });
    }
  }

  for (const root of document.querySelectorAll(".two-numbers")) twoNumbers(root);
  for (const root of document.querySelectorAll(".four-pixels")) fourPixels(root);
  const pictures = document.getElementById("fig-method");
  if (pictures) symbols(pictures);
})();
