// The ε slider. A file of the page calls `fgsm.slide` with what the build knows: the clean picture,
// the directions, and what is said at each ε (see fgsm_lib/slider.py). The pictures of a step are
// computed here; sentences and numbers are only put in their places.
"use strict";
(() => {
  const { element, drawn, bars } = fgsm;

  // The curve's box, in units of its own; the axis of ε is linear up to 1 and logarithmic beyond,
  // as in the figures.
  const box = { left: 40, right: 346, top: 12, bottom: 172 };
  const along = (epsilon) => (epsilon <= 1 ? 0.6 * epsilon : 0.6 + Math.log10(epsilon));
  const height = (value) => box.bottom - value * (box.bottom - box.top);

  /** Confidence over ε; `choose` is called with the stop that a finger or a mouse drags it to. */
  function curve(stops, choose) {
    const far = along(stops.at(-1).epsilon) || 1;
    const x = ({ epsilon }) => box.left + (along(epsilon) / far) * (box.right - box.left);
    const sure = (stop, direction) => height(stop[direction].top[0][1]);
    const line = (direction) => stops.map((stop) => `${x(stop)},${sure(stop, direction)}`).join(" ");
    const svg = drawn("svg", { viewBox: "0 0 360 208", "aria-hidden": "true" });
    for (const value of [0, 0.5, 1]) {
      const y = height(value);
      svg.append(
        drawn("line", { class: "grid", x1: box.left, x2: box.right, y1: y, y2: y }),
        drawn("text", { x: box.left - 6, y: y + 4, "text-anchor": "end" }, `${100 * value}%`),
      );
    }
    for (const epsilon of [0, 1, 2, 5, 10, 20, 50, 100].filter((e) => along(e) <= far)) {
      const place = { x: x({ epsilon }), y: box.bottom + 16, "text-anchor": "middle" };
      svg.append(drawn("text", place, `${epsilon}`));
    }
    const middle = { x: (box.left + box.right) / 2, y: box.bottom + 32, "text-anchor": "middle" };
    svg.append(
      drawn("text", middle, "ε in 1/255"),
      drawn("polyline", { class: "random", points: line("control") }),
      drawn("polyline", { class: "fgsm", points: line("signs") }),
    );
    for (const stop of stops) {
      const [a, b] = [x(stop), sure(stop, "signs")];
      svg.append(
        stop.signs.top[0][2]
          ? drawn("circle", { class: "right", cx: a, cy: b, r: 3 })
          : drawn("path", { class: "wrong", d: `M${a - 3},${b - 3}l6,6m0,-6l-6,6` }),
      );
    }
    const rule = drawn("line", { class: "rule", y1: box.top - 6, y2: box.bottom });
    const ring = drawn("circle", { class: "ring", r: 7 });
    svg.append(rule, ring);
    const drag = (event) => {
      const [left, right] = [svg.getBoundingClientRect().left, svg.getBoundingClientRect().right];
      const place = (360 * (event.clientX - left)) / (right - left);
      const distance = (stop) => Math.abs(x(stop) - place);
      choose(nearest(stops, distance), event.type === "pointerup");
    };
    svg.addEventListener("pointerdown", (event) => {
      svg.setPointerCapture(event.pointerId);
      drag(event);
    });
    svg.addEventListener("pointermove", (event) => {
      if (svg.hasPointerCapture(event.pointerId)) drag(event);
    });
    svg.addEventListener("pointerup", drag);
    const mark = (stop) => {
      for (const [key, value] of [["x1", x(stop)], ["x2", x(stop)]]) rule.setAttribute(key, value);
      for (const [key, value] of [["cx", x(stop)], ["cy", sure(stop, "signs")]]) {
        ring.setAttribute(key, value);
      }
    };
    return { svg, mark };
  }

  /** The place of the stop that is nearest by a measure of distance. */
  const nearest = (stops, distance) =>
    stops.reduce((best, stop, i) => (distance(stop) < distance(stops[best]) ? i : best), 0);

  /** The five most probable classes and the curve, where the page has room for them. */
  function readings(place, stops, choose) {
    if (!place) return () => {};
    const top = bars(stops[0].signs.top.length, "Most probable classes (✓ the label)");
    const confidence = curve(stops, choose);
    const legend = element(
      "p",
      { className: "legend" },
      element("span", { className: "fgsm" }, "FGSM: ● right, "),
      element("span", { className: "fgsm wrong" }, "× wrong"),
      element("span", { className: "random" }, "┄ random signs"),
    );
    const title = element("p", { className: "title" }, "Confidence over ε");
    const plot = element("div", { className: "plot" }, title, confidence.svg, legend);
    place.append(plot, top.table);
    return (stop) => {
      top.show(stop.signs.top);
      confidence.mark(stop);
    };
  }

  async function slide(root, data) {
    const { stops } = data;
    const part = (name) => root.querySelector(name);
    const input = part("input");
    const toggle = part("button");
    const places = [...root.querySelectorAll(".picture")].map((place) => ({
      canvas: place.querySelector("canvas"),
      title: place.querySelector(".title"),
      seen: place.querySelector(".seen"),
    }));
    let paint = () => {};
    let direction = "signs";
    const stop = () => stops[Number(input.value)];

    const show = () => {
      const { epsilon, [direction]: view } = stop();
      const [name, probability, right] = view.top[0];
      part(".verdict").className = `verdict ${right ? "right" : "wrong"}`;
      part(".verdict strong").textContent = name;
      part(".verdict .sure").textContent = fgsm.percent(probability);
      part(".verdict .note").textContent = view.verdict;
      part("output").textContent = `ε = ${epsilon}/255`;
      input.setAttribute("aria-valuetext", view.value);
      view.pictures.forEach(({ what, title, seen, alt }, i) => {
        places[i].title.textContent = title;
        places[i].seen.textContent = seen;
        places[i].canvas.setAttribute("aria-label", alt);
        paint(places[i].canvas, what, epsilon);
      });
      read(stop());
    };
    // The sentence is a live region: said when the slider rests, not at every stop it passes.
    const rest = () => {
      part(".summary").textContent = stop()[direction].summary;
    };
    const keep = () => history.replaceState(history.state, "", `#epsilon=${stop().epsilon}`);
    const choose = (index, atRest) => {
      input.value = index;
      show();
      if (!atRest) return;
      rest();
      keep();
    };
    /** Go to the ε that the address names, and put right there what is not on the grid. */
    const ofAddress = () => {
      const match = /^#epsilon=(.*)$/.exec(location.hash);
      if (!match) return false;
      const wanted = Number(match[1].replace(",", "."));
      if (match[1] && Number.isFinite(wanted)) {
        input.value = nearest(stops, ({ epsilon }) => Math.abs(epsilon - wanted));
      }
      keep();
      return true;
    };

    const read = readings(part(".readings"), stops, choose);
    input.disabled = false;
    input.value = data.start;
    const linked = ofAddress();
    show();
    rest();
    input.addEventListener("input", show);
    input.addEventListener("change", () => choose(Number(input.value), true));
    toggle?.addEventListener("click", () => {
      direction = direction === "signs" ? "control" : "signs";
      toggle.setAttribute("aria-pressed", direction === "control");
      show();
      rest();
    });
    window.addEventListener("hashchange", () => {
      if (!ofAddress()) return;
      show();
      rest();
      part(".stage").scrollIntoView({ block: "nearest" });
    });
    paint = await fgsm.painter(data);
    show();
    if (linked) root.closest("figure").scrollIntoView({ block: "start" });
  }

  fgsm.slide = slide;
})();
