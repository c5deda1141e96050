// The live page: the reader's own browser attacks a picture. This shows controls and results; what
// is computed, live-worker.js computes, in a worker that starts when the reader asks for it.
"use strict";
(() => {
  const { element, percent, bars } = window.fgsm;
  const here = document.currentScript.src;
  const root = document.querySelector(".live-attack");
  const facts = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
  const megabytes = Object.values(facts.files).reduce((sum, size) => sum + size, 0) / 1e6;

  const LARGEST = 120e6; // pixels of a photograph: a browser takes four bytes for each of them
  const SILENCE = 60_000; // milliseconds without a word, after which the worker counts as lost

  const FAULTS = {
    network: (detail) => `A part of the live page did not arrive (${detail}).`,
    load: (detail) => `This browser could not start the classifier (${detail}).`,
    attack: (detail) => `The attack broke off (${detail}).`,
    lost: () => "The worker that computes the attack does not answer any more.",
  };
  const OBJECTIVES = { cross_entropy: "cross-entropy", true_logit: "true logit" };

  /** Something that keeps a picture from being used; the message is the reader's. */
  class Refusal extends Error {}

  /**
   * Start the worker. It answers one question at a time.
   * @param {(part: number) => void} progress is told the part that has been loaded
   */
  function startWorker(progress) {
    const worker = new Worker(new URL("live-worker.js", here), { type: "module" });
    let waiting = null;
    let timer = 0;
    const settle = (how, value) => {
      clearTimeout(timer);
      waiting?.[how](value);
      waiting = null;
    };
    const fail = (kind, detail) => settle("reject", new Error(FAULTS[kind](detail)));
    const listen = () => {
      clearTimeout(timer);
      timer = setTimeout(fail, SILENCE, "lost");
    };
    worker.onmessage = ({ data }) => {
      if (data.fault) fail(data.fault.kind, data.fault.detail);
      else if (data.answer) settle("resolve", data.answer);
      else {
        listen();
        progress(data.loaded);
      }
    };
    worker.onerror = (event) => {
      event.preventDefault();
      fail("lost");
    };
    const ask = (question) =>
      new Promise((resolve, reject) => {
        waiting = { resolve, reject };
        listen();
        worker.postMessage(question);
      });
    return { ask, end: () => worker.terminate() };
  }

  // Pictures, as RGBA bytes of the square that the classifier sees.

  /** One of the build's pictures: lossless, and of the right size already. */
  async function shipped({ file, label, name }) {
    const response = await fetch(facts.images + file);
    if (!response.ok) throw new Refusal(`The picture did not arrive (${response.status}).`);
    const bitmap = await createImageBitmap(await response.blob());
    return { pixels: pixelsOf(bitmap), label, note: `The class under attack is its label, ${name}.` };
  }

  /** A file of the reader's: its center, as the classifier's preprocessing would cut it out. */
  async function own(file) {
    const { width, height } = await measured(file);
    if (width * height > LARGEST) {
      throw new Refusal(
        `This picture has ${Math.round((width * height) / 1e6)} megapixels, and this page takes ` +
          `up to ${LARGEST / 1e6}. Could you make it smaller?`,
      );
    }
    const shorter = Math.min(width, height);
    const side = Math.max(1, Math.round((shorter * facts.crop) / facts.resize));
    const [left, top] = [width, height].map((size) => Math.floor((size - side) / 2));
    const size = { resizeWidth: facts.crop, resizeHeight: facts.crop, resizeQuality: "high" };
    const bitmap = await createImageBitmap(file, left, top, side, side, size).catch(() => {
      throw new Refusal(unreadable(file));
    });
    const moves = await animated(file);
    const note =
      "The class under attack is the one that the classifier sees in it." +
      (moves ? " Of an animated file, this is the first frame." : "");
    return { pixels: pixelsOf(bitmap), label: null, note };
  }

  const unreadable = ({ name }) =>
    `${name} is not a picture that this browser can read. PNG, JPEG, WebP and GIF are.`;

  /** Width and height of a picture file, from its header: nothing is decoded yet. */
  function measured(file) {
    const address = URL.createObjectURL(file);
    const image = new Image();
    return new Promise((resolve, reject) => {
      image.onload = () => resolve({ width: image.naturalWidth, height: image.naturalHeight });
      image.onerror = () => reject(new Refusal(unreadable(file)));
      image.src = address;
    }).finally(() => URL.revokeObjectURL(address));
  }

  /** Whether a file says of itself that it is animated, in the words of its format. */
  async function animated(file) {
    const word = { "image/gif": "NETSCAPE", "image/png": "acTL", "image/webp": "ANIM" }[file.type];
    const start = await file.slice(0, 4096).text();
    return Boolean(word) && start.includes(word);
  }

  /** The pixels of a square bitmap; what is transparent in it becomes white. */
  function pixelsOf(bitmap) {
    const canvas = element("canvas", { width: facts.crop, height: facts.crop });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "white";
    context.fillRect(0, 0, facts.crop, facts.crop);
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    return context.getImageData(0, 0, facts.crop, facts.crop).data;
  }

  // What the reader sees.

  /** A picture with its title, what is seen in it, and a table of its most probable classes. */
  function card(title, withTable = true) {
    const canvas = element("canvas", { width: facts.crop, height: facts.crop, role: "img" });
    const context = canvas.getContext("2d");
    const seen = element("p", { className: "seen" });
    const table = withTable ? bars(Math.min(5, facts.classes.length), `Top 5, ${title}`) : null;
    const node = element("div", { className: "picture" });
    node.append(element("p", { className: "title" }, title), canvas, seen, table?.table ?? "");
    table?.table.caption.classList.add("visually-hidden"); // it repeats the title
    const show = ({ pixels, top5 }, text, alt, label) => {
      context.putImageData(new ImageData(pixels, facts.crop), 0, 0);
      canvas.setAttribute("aria-label", alt);
      seen.textContent = text;
      table?.show(top5.map(([index, p]) => [facts.classes[index], p, index === label]));
    };
    return { node, show };
  }

  const seenIn = ({ top5: [[index, probability]] }) =>
    `${facts.classes[index]}, ${percent(probability)}`;

  /** Radio buttons in a frame; `chosen` is called with the value of the one that is chosen. */
  function choice(legend, name, options, chosen) {
    const labels = options.map(({ value, checked, content }) => {
      const input = element("input", { type: "radio", name, value, checked });
      input.addEventListener("change", () => chosen(value));
      return element("label", {}, input, ...content);
    });
    return element("fieldset", {}, element("legend", {}, legend), ...labels);
  }

  const message = element("p", { className: "message" });
  message.setAttribute("role", "alert");
  const button = element("button", { type: "button", className: "start" });

  /** A sentence that the reader should know; with a button where there is something to do. */
  function tell(sentence, label = "", action = null) {
    message.replaceChildren(sentence);
    button.hidden = !label;
    button.textContent = label;
    button.onclick = action;
  }

  const state = { picture: null, objective: facts.objective, stop: facts.start };

  /** Everything that the reader can choose, and the place of the results; built once. */
  function controls() {
    const chooser = element("input", { type: "file", accept: "image/*" });
    const note = element("p", { className: "note" });
    let latest = null;
    const take = async (read) => {
      latest = read;
      tell("");
      busy(1);
      try {
        const picture = await read();
        if (latest !== read) return false; // another one was chosen meanwhile
        state.picture = picture;
        note.textContent = picture.note;
        update();
        return true;
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        tell(error.message);
        return false;
      } finally {
        busy(-1);
      }
    };
    const pictures = choice(
      "Picture",
      "live-picture",
      facts.pictures.map((picture, i) => ({
        value: i,
        checked: i === 0,
        content: [element("img", { src: facts.images + picture.file, alt: "" }), picture.name],
      })),
      (i) => take(() => shipped(facts.pictures[i])),
    );
    chooser.addEventListener("change", async () => {
      const [file] = chooser.files;
      if (!file) return;
      if (await take(() => own(file))) {
        for (const radio of pictures.querySelectorAll("input[type=radio]")) radio.checked = false;
      }
      chooser.value = ""; // so that the same file can be chosen again
    });
    const another = element("label", { className: "own" }, "Or one of your own: ", chooser);
    pictures.append(another, element("p", { className: "note" }, "It stays on this device."));

    const objectives = choice(
      "Objective",
      "live-objective",
      Object.entries(OBJECTIVES).map(([value, name]) => ({
        value,
        checked: value === state.objective,
        content: [name],
      })),
      (value) => {
        state.objective = value;
        update();
      },
    );

    const id = "live-epsilon";
    const range = { type: "range", id, min: 0, max: facts.epsilons.length - 1, value: state.stop };
    const input = element("input", range);
    const output = element("output", { htmlFor: id });
    const turn = () => {
      state.stop = Number(input.value);
      output.textContent = `ε = ${facts.epsilons[state.stop]}/255`;
      input.setAttribute("aria-valuetext", output.textContent);
    };
    input.addEventListener("input", () => {
      turn();
      update();
    });
    turn();
    const label = element("label", { htmlFor: id }, "Size of the step ");
    const slider = element("div", { className: "control" }, label, output, input);
    const node = element("fieldset", { className: "controls" }, pictures, objectives, note, slider);
    const first = () => facts.pictures.length && take(() => shipped(facts.pictures[0]));
    return { node, first };
  }

  /** The four pictures and the sentence about them. */
  function results() {
    const clean = card("clean image");
    const adversarial = card("adversarial image");
    const control = card("random signs (control)");
    const perturbation = card("perturbation", false);
    perturbation.node.classList.add("beside");
    const summary = element("p", { className: "summary" });
    summary.setAttribute("aria-live", "polite");
    const cards = [clean, adversarial, control, perturbation].map(({ node }) => node);
    const places = element("div", { className: "pictures" }, ...cards);
    const node = element("div", { className: "results", hidden: true }, summary, places);
    const show = (answer, epsilon) => {
      const at = `ε = ${epsilon}/255`;
      const [before, after, chance] = [answer.clean, answer.adversarial, answer.control].map(seenIn);
      const { amplified } = answer.perturbation;
      const factor = `amplified ${amplified < 10 ? amplified.toPrecision(2) : Math.round(amplified)} ×`;
      const { label } = answer;
      clean.show(answer.clean, before, `The clean image, seen as ${before}.`, label);
      adversarial.show(answer.adversarial, after, `After a step of ${at}: ${after}.`, label);
      control.show(answer.control, chance, `After random signs at ${at}: ${chance}.`, label);
      perturbation.show(
        answer.perturbation,
        epsilon
          ? `x̃ − x, ${factor}: what is white in a channel was raised, what is black was lowered, ` +
              "gray stayed."
          : "Nothing is added.",
        epsilon ? `The perturbation at ${at}, colored noise, ${factor}.` : "Gray: no perturbation.",
      );
      summary.textContent =
        `At ${at} the classifier sees ${after}; after random signs of the same size, ${chance}. ` +
        `In the clean image it sees ${before}.` +
        (answer.roundsAway
          ? " The step is too small for a picture of 8 bits: what you see is the clean image, " +
            "what is classified is the image before rounding."
          : "");
      node.hidden = false;
    };
    return { node, show };
  }

  let pending = 0;
  /** Tell screen readers that the results are about to change: +1 when work starts, -1 at its end. */
  function busy(change) {
    pending += change;
    shown.node.setAttribute("aria-busy", pending > 0);
  }

  let worker = null;
  let known = null; // the picture that the worker has
  let running = false;
  let again = false;

  /** Ask for what is chosen. Of the stops that a moving slider passes meanwhile, only the last. */
  async function update() {
    again = true;
    if (running || !worker || !state.picture) return;
    running = true;
    busy(1);
    try {
      while (again) {
        again = false;
        const { picture, objective } = state;
        const epsilon = facts.epsilons[state.stop];
        const pixels = picture === known ? undefined : picture.pixels;
        const { label } = picture;
        const answer = await worker.ask({ kind: "attack", pixels, label, objective, epsilon });
        known = picture;
        if (!again) shown.show(answer, epsilon);
      }
    } catch (error) {
      stop(error.message);
    }
    running = false;
    busy(-1);
  }

  /** The worker is of no use any more: say why, and offer another one. */
  function stop(sentence) {
    worker.end();
    worker = null;
    known = null;
    chosen.node.disabled = true;
    tell(sentence, "Try again", start);
    button.focus();
  }

  const chosen = controls();
  const shown = results();

  async function start() {
    const bar = element("progress", { max: 1, value: 0, ariaLabel: "Loading the classifier" });
    tell("Loading the classifier…");
    message.append(" ", bar);
    worker = startWorker((part) => (bar.value = part));
    try {
      await worker.ask({
        kind: "load",
        files: facts.files,
        version: facts.version,
        crop: facts.crop,
        classes: facts.classes.length,
      });
    } catch (error) {
      stop(error.message);
      return;
    }
    tell("");
    root.querySelector(".offered")?.remove();
    message.before(chosen.node);
    root.append(shown.node);
    chosen.node.disabled = false;
    chosen.node.querySelector("input").focus();
    if (state.picture) update();
    else chosen.first();
  }

  root.querySelector(".no-script").remove();
  root.append(message, button);
  const instead = "The case studies show the same attacks, as this build computed them.";
  if (facts.missing) {
    tell("");
  } else if (location.protocol === "file:") {
    tell(
      "This page was opened as a file, and browsers start no worker from a file. Serve the folder, " +
        "for example with “make serve”, and open http://localhost:8000/live.html.",
    );
  } else if (typeof WebAssembly === "undefined") {
    tell(`This browser has no WebAssembly, or it is switched off. ${instead}`);
  } else {
    tell("", `Start (loads up to ${Math.round(megabytes)} MB)`, start);
  }
})();
