// The live page: the reader's own browser attacks a picture. This shows controls and results;
// live-io.js reads picture files, and live-worker.js computes, in a worker that starts when the
// reader asks for it.
"use strict";
(async () => {
  const { element, percent } = window.fgsm;
  const here = document.currentScript.src;
  const root = document.querySelector(".live-attack");
  const facts = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
  const grid = facts.epsilons;

  const MOST_STEPS = 20;
  const OBJECTIVES = { cross_entropy: "cross-entropy", true_logit: "true logit" };

  let io; // live-io.js
  let networks; // what can be run here, see io.available
  let worker = null;

  // --- what is chosen, and its place in the address ----------------------------------------------

  const state = { objective: facts.objective, steps: 1, target: null, ...facts.start };
  let network = null; // the entry of the manifest that the worker runs
  let names = []; // its classes, each name once
  let pictures = []; // those of which it knows the class, and the reader's own

  const pictureOf = (key) => pictures.find((picture) => picture.key === key);

  /** The class of a name, as typed; Refusal where it is none. */
  function classOf(text) {
    const typed = text.trim().toLowerCase();
    const exact = names.indexOf(text.trim());
    const found = exact < 0 ? names.findIndex((name) => name.toLowerCase() === typed) : exact;
    if (found >= 0) return found;
    const alike = names.filter((name) => name.toLowerCase().includes(typed));
    const near = alike.sort((a, b) => a.length - b.length)[0] ?? names[0];
    throw new io.Refusal(`“${text}” is none of the ${names.length} classes; “${near}” is one.`);
  }

  /** What a setting may be, in words, and from its text to its value, undefined where it is none. */
  const SETTINGS = {
    picture: ["one of this page", (text) => pictureOf(text)?.key],
    objective: [
      Object.keys(OBJECTIVES).join(" or "),
      (text) => (text in OBJECTIVES ? text : undefined),
    ],
    epsilon: [`0 to ${grid.at(-1)}`, (text) => within(text, 0, grid.at(-1))],
    steps: [
      `1 to ${MOST_STEPS}`,
      (text) => (/^\d+$/.test(text) ? within(text, 1, MOST_STEPS) : undefined),
    ],
    target: ["a class", (text) => (text.trim() ? classOf(text) : null)],
  };

  const within = (text, low, high) =>
    text.trim() && text >= low && text <= high ? Number(text) : undefined;

  /** The value of a setting, from its text; Refusal where it is none. */
  function valueOf(key, text) {
    const [expected, read] = SETTINGS[key];
    const value = read(text);
    if (value !== undefined) return value;
    if (text === "own")
      throw new io.Refusal("Your own picture stays with you: choose it once more.");
    throw new io.Refusal(`${key} is “${text}”; expected ${expected}.`);
  }

  const inAddress = () => new URLSearchParams(location.hash.slice(1));

  /** Take over what the address says; sentences about what of it cannot be used. */
  function readAddress() {
    const refused = [];
    for (const key of Object.keys(SETTINGS)) {
      const text = inAddress().get(key);
      try {
        if (text !== null) state[key] = valueOf(key, text);
      } catch (error) {
        refused.push(error.message);
      }
    }
    return refused.join(" ");
  }

  function writeAddress() {
    const target = state.target === null ? "" : names[state.target];
    const said = new URLSearchParams({ network: network.name, ...state, target });
    if (!target) said.delete("target");
    history.replaceState(null, "", `#${said}`);
  }

  // --- what the reader sees and touches ----------------------------------------------------------

  const named = (texts, control, className = "") =>
    element("label", { className }, element("span", {}, ...texts), control);

  function choice(options, chosen) {
    const select = element("select");
    select.append(...Object.entries(options).map(([value, text]) => new Option(text, value)));
    select.addEventListener("change", () => chosen(select.value));
    return select;
  }

  function button(text, action) {
    const made = element("button", { type: "button" }, text);
    made.addEventListener("click", action);
    return made;
  }

  const message = element("p", { className: "message" });
  const offered = element("div", { className: "offer" });
  message.setAttribute("role", "alert");

  /** A sentence that the reader should know, and what there is to do about it. */
  function tell(sentence, ...offers) {
    message.textContent = sentence;
    offered.replaceChildren(...offers);
  }

  const file = element("input", { type: "file", accept: "image/*", className: "visually-hidden" });
  const own = element("label", { className: "own" }, file, "Your own…");
  const thumbs = element("div", { className: "thumbs" });
  const objective = choice(OBJECTIVES, (value) => change({ objective: value }));
  const stepSize = element("span");
  const steps = element("input", { type: "number", min: 1, max: MOST_STEPS });
  const classes = element("datalist", { id: "live-classes" });
  const target = element("input", { type: "search", placeholder: "none: away from it" });
  const size = element("span");
  const range = element("input", { type: "range", min: 0 });
  const verdict = element("p", { className: "verdict" });
  const status = element("p", { className: "status" });
  const cancelling = button("Cancel", cancel);
  const cards = ["clean", "attacked", "random signs"].map(card);
  const summary = element("p", { className: "summary" });
  const added = element("input", { type: "checkbox" });
  const saving = button("Save as PNG", save);
  const results = element("div", { className: "results" });
  const tool = element("div", { className: "tool" });

  function build() {
    target.setAttribute("list", classes.id);
    summary.setAttribute("aria-live", "polite");
    const titles = Object.fromEntries(networks.map(({ name }) => [name, facts.networks[name]]));
    const which = choice(titles, (name) => use(networks.find((entry) => entry.name === name)));
    const options = element("div", { className: "options" });
    if (networks.length > 1) options.append(named(["Network"], which));
    options.append(
      named(["Objective"], objective),
      named(["Steps, each ", stepSize], steps),
      named(["Toward a class"], target),
      classes,
    );
    results.append(
      element("div", { className: "above" }, verdict, status, cancelling),
      element("div", { className: "pictures" }, ...cards.map(({ node }) => node)),
      summary,
    );
    const actions = element("div", { className: "actions" });
    actions.append(button("Smallest ε that fools", findSmallest), saving);
    actions.append(named(["Show what was added"], added, "check"));
    const legend = element("legend", { className: "visually-hidden" }, "Picture");
    const chooser = element("fieldset", {}, legend, thumbs);
    const slider = named(["Size of the step: ", size], range, "size");
    tool.append(chooser, options, slider, results, actions);
    steps.addEventListener("change", () => set("steps", steps.value));
    target.addEventListener("change", () => set("target", target.value));
    range.addEventListener("input", () => change({ epsilon: stops()[range.value] }));
    added.addEventListener("change", () => cards.forEach(({ draw }) => draw()));
    file.addEventListener("change", () => take(file.files[0]));
    root.addEventListener("dragover", (event) => event.preventDefault());
    root.addEventListener("drop", (event) => {
      event.preventDefault();
      take(event.dataTransfer.files[0]);
    });
    window.addEventListener("hashchange", () => {
      if (!inAddress().has("epsilon")) return; // a heading's anchor
      const refused = readAddress();
      change({});
      tell(refused);
    });
  }

  /** The size of a step in 1/255: of several, they could go 2.5 times as far as ε allows. */
  const stepOf = ({ epsilon, steps }) => epsilon * Math.min(1, 2.5 / steps);

  /** The stops of the slider: those of the grid, and the ε that was found or came by the address. */
  const stops = () => [...new Set([...grid, state.epsilon])].sort((a, b) => a - b);

  /** Make the controls say what is chosen. */
  function sync() {
    for (const { key, input } of pictures) input.checked = key === state.picture;
    objective.value = state.objective;
    steps.value = state.steps;
    stepSize.textContent = `${Number(stepOf(state).toPrecision(2))}/255`;
    target.value = state.target === null ? "" : names[state.target];
    range.max = stops().length - 1;
    range.value = stops().indexOf(state.epsilon);
    size.textContent = `ε = ${state.epsilon}/255`;
    range.setAttribute("aria-valuetext", size.textContent);
  }

  /** The pictures to choose from: those that the network knows the class of, and the reader's. */
  function offer(all) {
    pictures = all;
    for (const picture of pictures) {
      picture.input ??= element("input", { type: "radio", name: "live-picture" });
      picture.input.onchange = () => change({ picture: picture.key });
    }
    const thumb = ({ input, image, name }) => element("label", {}, input, image, name);
    thumbs.replaceChildren(...pictures.map(thumb), own);
  }

  /** A picture, its title, what is seen in it, and the most probable classes with their bars. */
  function card(title) {
    const canvas = element("canvas", { width: 1, height: 1 });
    canvas.setAttribute("role", "img");
    const heading = element("p", { className: "title" }, title);
    const list = element("ol");
    let looks = {};
    const draw = () => {
      const difference = added.checked && looks.added;
      io.paint(canvas, difference || looks.pixels);
      heading.textContent = difference ? `added, ${looks.amplified} ×` : looks.said;
      canvas.setAttribute("aria-label", `${heading.textContent}: ${seenIn(looks.top)}`);
    };
    const show = (found, mark) => {
      looks = found;
      draw();
      list.replaceChildren(...found.top.map(([index, part]) => row(index, part, mark(index))));
    };
    return { node: element("div", { className: "picture" }, heading, canvas, list), show, draw };
  }

  function row(index, part, [kind, sign]) {
    const fill = element("span", { className: "fill" });
    fill.style.width = percent(part);
    const name = element("span", { className: "name" }, sign + names[index]);
    const bar = element("span", { className: "bar" }, fill);
    return element("li", { className: kind }, name, element("span", {}, percent(part)), bar);
  }

  const seenIn = ([[index, part]]) => `${names[index]}, ${percent(part)}`;

  /** Results stand for what is chosen, or are marked as those of something else. */
  function wait(text, cancellable = false) {
    results.classList.toggle("stale", Boolean(text));
    results.setAttribute("aria-busy", Boolean(text));
    status.textContent = text;
    cancelling.hidden = !cancellable;
    saving.disabled = Boolean(text);
  }

  function show(answer, asked) {
    const picture = pictureOf(asked.picture);
    const { label, before, adversarial, control } = answer;
    const known = Boolean(picture.labels);
    const [[first, part]] = adversarial.top;
    const does = ([[best]]) => (asked.target === null ? best !== label : best === asked.target);
    const fooled = does(adversarial.top) && !does(before);
    const mark = (index) => {
      if (index === label) return ["right", known ? "✓ " : ""];
      return index === asked.target ? ["wrong", "→ "] : ["wrong", ""];
    };
    const amplified = Number(answer.amplified.toPrecision(2));
    cards[0].show({ said: "clean", pixels: picture.pixels, top: before }, mark);
    cards[1].show({ said: fooled ? "adversarial" : "attacked", amplified, ...adversarial }, mark);
    cards[2].show({ said: "random signs", amplified, ...control }, mark);
    const [kind, sign] = first === label ? ["right", "✓ "] : ["wrong", "✗ "];
    verdict.className = `verdict ${kind}`;
    verdict.replaceChildren(
      element("strong", {}, (known ? sign : "") + names[first]),
      ` ${percent(part)}`,
      element("span", { className: "note" }, `before: ${seenIn(before)}`),
    );
    summary.textContent = summarized(answer, asked, picture);
    last = { answer, asked, does };
    wait("");
  }

  /** What is seen, and of which class that is the attack, in sentences. */
  function summarized({ label, adversarial, control, rounded, unmoved }, asked, picture) {
    const whose = picture.labels ? "its label" : "what the network sees in it";
    const away = `Away from ${names[label]}, ${whose}`;
    const way = asked.target === null ? away : `Toward ${names[asked.target]}`;
    const how = asked.steps > 1 ? `${asked.steps} steps, ` : "";
    const said = [
      `${way}, ${how}ε = ${asked.epsilon}/255: ${seenIn(adversarial.top)}.`,
      `Random signs of the same size: ${seenIn(control.top)}.`,
    ];
    const nothing = "The gradient is zero everywhere, so this is no attack that was resisted.";
    const small = "The step is too small for 8 bits: what you see is the clean picture.";
    if (asked.epsilon && rounded) said.push(unmoved ? nothing : small);
    return [...said, picture.note ?? ""].join(" ");
  }

  // --- what happens ------------------------------------------------------------------------------

  let last = null; // what the results stand for: an answer, and what was asked
  let questions = 0; // so many were asked; only the last one's answer is shown
  let progressed = () => {};

  function change(changes) {
    Object.assign(state, changes);
    sync();
    writeAddress();
    tell("");
    return update();
  }

  /** A setting from its text. */
  function set(key, text) {
    try {
      change({ [key]: valueOf(key, text) });
    } catch (error) {
      sync();
      tell(error.message);
    }
  }

  /** Ask for what is chosen, and show it when it comes, unless another question came meanwhile. */
  async function update() {
    const asked = { ...state };
    const many = asked.steps > 1;
    wait("computing…", many);
    progressed = (step) => (status.textContent = `step ${step} of ${asked.steps}…`);
    const answer = await ask("attack", asked);
    if (answer) show(answer, asked);
  }

  /** Ask the worker about a state; null where nobody waits any more, or it cannot answer. */
  async function ask(kind, asked, more = {}) {
    const picture = pictureOf(asked.picture);
    const number = (questions += 1);
    try {
      picture.pixels ??= await picture.read(network);
      const { pixels, labels } = picture;
      const label = labels?.[network.name] ?? null;
      const question = { kind, ...asked, step: stepOf(asked), pixels, label, ...more };
      const answer = await worker.ask(question);
      return number === questions ? answer : null;
    } catch (error) {
      stop(error.message);
      return null;
    }
  }

  async function findSmallest() {
    tell("");
    wait("searching…", true);
    const asked = { ...state, steps: 1 };
    const answer = await ask("smallest", asked, { grid });
    if (!answer) return;
    const { epsilon } = answer;
    await change({ steps: 1, epsilon: epsilon ?? state.epsilon });
    if (epsilon) tell(`With one step, ε = ${epsilon}/255 is the smallest that does it.`);
    else if (epsilon === 0) tell("No step is needed: it is so in the clean picture.");
    else tell(`One step does not do it at any ε of the slider, up to ${grid.at(-1)}/255.`);
  }

  /** Keep the attacked picture as a PNG file, and say what is seen in that file. */
  async function save() {
    const { answer, asked, does } = last;
    const canvas = io.paint(element("canvas"), answer.adversarial.pixels);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    const name = `${asked.picture.replace(/\W+/g, "-")}-epsilon-${asked.epsilon}.png`;
    const link = element("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    const seen = await ask("classify", asked, { pixels: await io.whole(blob) });
    if (!seen) return;
    const [exact, kept] = [answer.adversarial.top, seen.top].map(does);
    const undone = exact ? "the rounding undid it" : "nor did it before";
    const end = kept ? "it still fools the network" : `it does not fool the network: ${undone}`;
    tell(`Saved as ${name}. Read back from its 8 bits: ${seenIn(seen.top)}; ${end}.`);
  }

  /** A file that was chosen or dropped. */
  async function take(given) {
    file.value = ""; // so that the same one can be chosen again
    if (!given || !network) return;
    wait("reading…");
    try {
      const read = (entry) => io.own(given, entry);
      const picture = { key: "own", name: given.name, read, pixels: await read(network) };
      picture.note = (await io.animated(given))
        ? "Of an animated file, this is the first frame."
        : "";
      picture.image = io.paint(element("canvas"), picture.pixels);
      offer([...pictures.filter(({ key }) => key !== "own"), picture]);
      await change({ picture: "own" });
    } catch (error) {
      await change({});
      tell(error.message);
    }
  }

  /** Give up what is being computed, and go back to what is shown. */
  function cancel() {
    questions += 1;
    worker.ask({ kind: "cancel" });
    if (!last) return change({ steps: 1 });
    Object.assign(state, last.asked);
    sync();
    writeAddress();
    wait("");
  }

  /** The worker is of no use any more: say why, and offer another one. */
  function stop(sentence) {
    worker.end();
    tool.inert = true;
    wait("stopped");
    tell(sentence, button("Try again", start));
  }

  /** Let the worker load a network, and attack a picture with it. */
  async function use(entry) {
    const bar = element("progress", { max: entry.bytes(!network), value: 0, ariaLabel: "Loading" });
    const focused = document.activeElement;
    tell(`Loading ${facts.networks[entry.name]}…`, bar);
    wait("loading…");
    tool.inert = true;
    progressed = (bytes) => (bar.value = bytes);
    const { folder, files, halves, version, crop, runtime } = entry;
    const wanted = { folder, files, halves, version, crop, classes: entry.classes.length };
    try {
      await worker.ask({ kind: "load", wanted, runtime });
    } catch (error) {
      stop(error.message);
      return;
    }
    tool.inert = false;
    focused.focus();
    const several = (name) => entry.classes.filter((other) => other === name).length > 1;
    names = entry.classes.map((name, i) => (several(name) ? `${name} (${i})` : name));
    classes.replaceChildren(...names.map((name) => new Option(name)));
    const known = shipped.filter(({ labels }) => entry.name in labels);
    const mine = pictures.filter(({ key }) => key === "own");
    for (const picture of mine) delete picture.pixels; // another network may cut it otherwise
    offer([...known, ...mine]);
    if (!pictureOf(state.picture)) state.picture = pictures[0].key;
    if (network) state.target = null;
    const refused = network ? "" : readAddress();
    network = entry;
    await change({});
    tell(refused);
  }

  async function start() {
    worker = io.startWorker((done) => progressed(done));
    [network, last] = [null, null];
    await use(networks.find(({ name }) => name === inAddress().get("network")) ?? networks[0]);
    if (!network) return;
    root.querySelector(".offered")?.replaceWith(tool);
    results.before(message, offered);
    tool.scrollIntoView({ block: "nearest" });
    range.focus({ preventScroll: true });
  }

  const shipped = facts.pictures.map((picture) => ({
    ...picture,
    key: picture.name,
    image: element("img", { src: picture.file, alt: "" }),
    read: async () => io.whole(await (await fetch(picture.file)).blob()),
  }));
  root.querySelector(".no-script").remove();
  root.prepend(message, offered);
  if (location.protocol === "file:") {
    const serve = "“python -m http.server -d _build/html”";
    tell(`Browsers start no worker from a file: serve the folder, for example by ${serve}.`);
    return;
  }
  io = await import(new URL("live-io.js", here));
  const found = await io.available();
  networks = found.networks.filter(({ name }) => name in facts.networks);
  tell(found.missing);
  if (!networks.length) return;
  build();
  offered.append(button(`Start (loads about ${networks[0].megabytes} MB)`, start));
  const type = performance.getEntriesByType("navigation")[0]?.type;
  if (type === "reload" && inAddress().has("epsilon")) start();
})();
