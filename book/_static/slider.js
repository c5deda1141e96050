// The ε slider of a case study. Its pictures, sentences and numbers are computed by the build and
// lie in a block of JSON on the page; this only swaps them, and draws the bars and the curve.
"use strict";
(() => {
  const { element, bars } = window.fgsm;
  const drawn = (name, attributes = {}, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  // The curve's box, in units of its own; the axis of ε is linear up to 1 and logarithmic beyond,
  // as in the figure below.
  const box = { left: 40, right: 346, top: 12, bottom: 190 };
  const along = (epsilon) => (epsilon <= 1 ? 0.6 * epsilon : 0.6 + Math.log10(epsilon));
  const height = (value) => box.bottom - value * (box.bottom - box.top);

  function curve(stops) {
    const far = along(stops.at(-1).epsilon) || 1;
    const x = (epsilon) => box.left + (along(epsilon) / far) * (box.right - box.left);
    const line = (values) => values.map((v, i) => `${x(stops[i].epsilon)},${height(v)}`).join(" ");
    const svg = drawn("svg", { viewBox: "0 0 360 226", "aria-hidden": "true" });
    for (const value of [0, 0.5, 1]) {
      const y = height(value);
      svg.append(
        drawn("line", { class: "grid", x1: box.left, x2: box.right, y1: y, y2: y }),
        drawn("text", { x: box.left - 6, y: y + 4, "text-anchor": "end" }, `${100 * value}%`),
      );
    }
    for (const epsilon of [0, 1, 2, 5, 10, 20, 50, 100].filter((e) => along(e) <= far)) {
      svg.append(
        drawn("text", { x: x(epsilon), y: box.bottom + 16, "text-anchor": "middle" }, `${epsilon}`),
      );
    }
    const mid = (box.left + box.right) / 2;
    svg.append(
      drawn("text", { x: mid, y: box.bottom + 32, "text-anchor": "middle" }, "ε in 1/255"),
      drawn("polyline", { class: "random", points: line(stops.map((s) => s.control[1])) }),
      drawn("polyline", { class: "fgsm", points: line(stops.map((s) => s.top5[0][1])) }),
    );
    for (const { epsilon, top5: [[, value, right]] } of stops) {
      const [a, b] = [x(epsilon), height(value)];
      svg.append(
        right
          ? drawn("circle", { class: "right", cx: a, cy: b, r: 3 })
          : drawn("path", { class: "wrong", d: `M${a - 3},${b - 3}l6,6m0,-6l-6,6` }),
      );
    }
    const rule = drawn("line", { class: "rule", y1: box.top - 6, y2: box.bottom });
    const ring = drawn("circle", { class: "ring", r: 7 });
    const other = drawn("circle", { class: "ring random", r: 5 });
    svg.append(rule, other, ring);
    const mark = ({ epsilon, top5, control }) => {
      for (const [node, attributes] of [
        [rule, { x1: x(epsilon), x2: x(epsilon) }],
        [ring, { cx: x(epsilon), cy: height(top5[0][1]) }],
        [other, { cx: x(epsilon), cy: height(control[1]) }],
      ]) {
        for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
      }
    };
    return { svg, mark };
  }

  let count = 0;
  function start(root) {
    const data = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
    const { stops, folder } = data;
    const id = `epsilon-slider-${(count += 1)}`;
    const input = element("input", { type: "range", id, min: 0, max: stops.length - 1, step: 1 });
    const output = element("output", { htmlFor: id });
    const label = element("label", { htmlFor: id }, "Size of the step ");
    const summary = root.querySelector(".summary");
    summary.setAttribute("aria-live", "polite");
    const places = [...root.querySelectorAll(".picture")].map((place) => ({
      image: place.querySelector("img"),
      title: place.querySelector(".title"),
      text: place.querySelector(".seen"),
    }));
    const top5 = bars(stops[0].top5.length, "Top-5 classes (✓ the label)");
    const confidence = curve(stops);
    const legend = element(
      "p",
      { className: "legend" },
      element("span", { className: "fgsm" }, "FGSM: ● correct, × wrong"),
      " ",
      element("span", { className: "random" }, "┄ random signs"),
    );
    const plot = element(
      "div",
      { className: "plot" },
      element("p", { className: "title" }, "Confidence over ε"),
      confidence.svg,
      legend,
    );
    root.prepend(element("div", { className: "control" }, label, output, input));
    root.append(element("div", { className: "readings" }, top5.table, plot));

    const fetched = new Set();
    const fetchAhead = (index) => {
      for (const { file } of stops[index]?.pictures ?? []) {
        if (!fetched.has(file)) new Image().src = folder + file;
        fetched.add(file);
      }
    };
    const show = () => {
      const index = Number(input.value);
      const stop = stops[index];
      places.forEach(({ image, title, text }, i) => {
        const picture = stop.pictures[i];
        const source = folder + picture.file;
        if (image.getAttribute("src") !== source) image.setAttribute("src", source);
        image.alt = picture.alt;
        title.textContent = picture.title;
        text.textContent = picture.text;
      });
      input.setAttribute("aria-valuetext", stop.value);
      output.textContent = `ε = ${stop.epsilon}/255`;
      top5.show(stop.top5);
      confidence.mark(stop);
    };
    // The sentence is a live region: said when the slider rests, not at every stop it passes.
    const rest = () => {
      summary.textContent = stops[Number(input.value)].summary;
    };
    const ofAddress = () => {
      const match = /^#epsilon=(\d+(?:\.\d+)?)$/.exec(location.hash);
      if (!match) return false;
      const distance = (i) => Math.abs(stops[i].epsilon - Number(match[1]));
      input.value = stops.reduce((best, _, i) => (distance(i) < distance(best) ? i : best), 0);
      return true;
    };
    input.addEventListener("input", () => {
      const index = Number(input.value);
      show();
      fetchAhead(index + 1);
      fetchAhead(index - 1);
    });
    input.addEventListener("change", () => {
      rest();
      history.replaceState(history.state, "", `#epsilon=${stops[Number(input.value)].epsilon}`);
    });
    window.addEventListener("hashchange", () => {
      if (!ofAddress()) return;
      show();
      rest();
    });
    input.value = data.start;
    const linked = ofAddress();
    show();
    rest();
    if (linked) root.closest("figure").scrollIntoView({ block: "start" });
  }

  for (const root of document.querySelectorAll(".epsilon-slider")) start(root);
})();
