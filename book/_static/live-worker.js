// Runs a classifier in the reader's browser, beside the page: live.js asks, this answers. The method
// is that of fgsm_lib/attacks.py; the graphs come from book/_ext/export.py, and ONNX Runtime Web
// runs them. Images are Float32Arrays in [0, 1], channel by channel; pixels are RGBA bytes.

const RUNTIME = { script: "ort.wasm.bundle.min.js", wasm: "ort-wasm-simd-threaded.wasm" };

/** Ends a task: of a kind that the page has a sentence for, and a detail. */
const fault = (kind, detail = "") => Object.assign(new Error(detail), { kind });

const tasks = { load, attack, smallest, classify, cancel: () => ({}) };
let latest = 0; // the number of the last question: those before it need no answer
let queue = Promise.resolve();

self.onmessage = ({ data }) => {
  latest = data.id;
  queue = queue.then(() => answer(data));
};
self.postMessage({ ready: true });

async function answer({ id, kind, ...question }) {
  const tell = (progress) => self.postMessage({ id, progress });
  const turn = async (progress) => {
    if (progress) tell(progress);
    await new Promise((resolve) => setTimeout(resolve)); // lets a newer question arrive
    if (id !== latest) throw fault("superseded");
  };
  try {
    await turn();
    const { transfer = [], ...found } = await tasks[kind](question, turn, tell);
    self.postMessage({ id, answer: found }, transfer);
  } catch (error) {
    self.postMessage({ id, fault: { kind: error.kind ?? kind, detail: String(error.message) } });
  }
}

let ort;
let graphs; // { logits, gradient }: sessions of the runtime
let network; // the entry of the manifest, with the number of its classes
let picture; // the one under attack, with what has been computed of it

/** Load the runtime, unless it is there, and a network; tell meanwhile how many bytes have come. */
async function load({ wanted, runtime }, turn, tell) {
  let loaded = 0;
  const files = {};
  const part = async (name, version, size) => {
    const file = await bytes(address(name, version), (piece) => tell((loaded += piece)));
    if (size && file.length !== size) throw fault("network", `${name} is another file`);
    files[name.split("/").at(-1)] = file;
  };
  const parts = Object.entries(wanted.files).map(([name, size]) =>
    part(`${wanted.folder}/${name}`, wanted.version, size),
  );
  if (!ort) parts.push(part(RUNTIME.wasm, runtime));
  await Promise.all(parts);
  ort ??= await import(address(RUNTIME.script, runtime)).catch(({ message }) => {
    throw fault("network", message);
  });
  ort.env.logLevel = "error";
  ort.env.wasm.wasmBinary ??= files[RUNTIME.wasm].buffer;
  ort.env.wasm.numThreads = 1; // more would need headers that a plain file server lacks
  for (const graph of Object.values(graphs ?? {})) await graph.release();
  const weights = { path: "weights.bin", data: widened(files["weights.bin"], wanted.halves) };
  const session = (name) => ort.InferenceSession.create(files[name], { externalData: [weights] });
  graphs = { logits: await session("logits.onnx"), gradient: await session("gradient.onnx") };
  [network, picture] = [wanted, null];
  return {};
}

const address = (name, version) => new URL(`live/${name}?v=${version}`, self.location).href;

/** The bytes of a file; `arrived` is called with the size of each piece. */
async function bytes(from, arrived) {
  const pieces = [];
  try {
    const response = await fetch(from);
    if (!response.ok) throw new Error(`${response.status}`);
    const reader = response.body.getReader();
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      pieces.push(piece.value);
      arrived(piece.value.length);
    }
  } catch (error) {
    throw fault("network", `${from.split("/").at(-1)}: ${error.message}`);
  }
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

/** The weights file with 32 bits for each value: `count` 16-bit floats come first. */
function widened(file, count) {
  const halves = new Uint16Array(file.buffer, 0, count);
  const wide = new Uint8Array(2 * count + file.length);
  const [bits, floats] = [Uint32Array, Float32Array].map((kind) => new kind(wide.buffer, 0, count));
  halves.forEach((half, i) => {
    bits[i] = ((half & 0x8000) << 16) | ((half & 0x7fff) << 13);
    floats[i] *= 2 ** 112; // the difference between what their exponents start from
  });
  wide.set(file.subarray(2 * count), 4 * count);
  return wide;
}

/**
 * Attack the picture, in one step (FGSM) or in many (BIM, Kurakin et al. 2017); beside it, the
 * control: one step of the same size along random signs.
 *
 * `label` is the picture's class, null for the one seen in it: the step leads away from it, or toward
 * the class `target`, if that is not null. `epsilon` is in 1/255. The answer holds pixels, those of
 * what was `added`, and [class, probability] of the `top` five; whether the image is `unmoved`, or
 * is so when it is `rounded` to 8 bits.
 */
async function attack(question, turn) {
  const { epsilon, steps } = question;
  const label = await prepared(question);
  const { clean, random, before } = picture;
  const one = async () => moved(clean, await direction(question, label), epsilon);
  const adversarial = steps > 1 ? await iterated(question, label, turn) : await one();
  const amplified = epsilon ? 127 / epsilon : 1;
  const seen = async (image) => ({
    top: await top5(image),
    pixels: rgba(image),
    added: rgba(image.map((value, i) => 128 / 255 + amplified * (value - clean[i]))),
  });
  const shown = { adversarial: await seen(adversarial) };
  shown.control = await seen(moved(clean, random, epsilon));
  const { pixels } = shown.adversarial;
  const unmoved = adversarial.every((value, i) => value === clean[i]); // its gradient is zero
  const rounded = question.pixels.every((value, i) => value === pixels[i]);
  const transfer = Object.values(shown).flatMap((part) => [part.pixels.buffer, part.added.buffer]);
  return { ...shown, before, label, amplified, unmoved, rounded, transfer };
}

/** Take over a new picture; the class that is attacked. */
async function prepared({ pixels, label }) {
  if (!picture?.pixels.every((value, i) => value === pixels[i])) {
    const clean = planar(pixels);
    let coin = 1; // seeded: a link leads to the same control
    const random = clean.map(() =>
      (coin = (Math.imul(coin, 1664525) + 1013904223) | 0) < 0 ? -1 : 1,
    );
    picture = { pixels, clean, random, signs: {}, before: await top5(clean) };
  }
  return label ?? picture.before[0][0];
}

/** The sign of the gradient at the clean image, computed once, or another; down to a target. */
async function direction({ objective, target }, label, image = null) {
  const signs = image ? {} : picture.signs;
  const key = `${objective} ${label} ${target}`;
  signs[key] ??= await gradientSign(image ?? picture.clean, target ?? label, objective);
  return target === null ? signs[key] : signs[key].map((sign) => -sign);
}

/** Several steps, a new gradient before each, never further than ε from the clean image. */
async function iterated(question, label, turn) {
  const { epsilon, steps, step } = question;
  const up = new Float32Array(picture.clean.length).fill(1);
  const [low, high] = [-epsilon, epsilon].map((size) => moved(picture.clean, up, size));
  let image = picture.clean;
  for (let count = 1; count <= steps; count++) {
    await turn(count);
    const next = moved(image, await direction(question, label, image), step);
    image = next.map((value, i) => Math.min(high[i], Math.max(low[i], value)));
  }
  return image;
}

/**
 * The smallest ε, in hundredths of 1/255, at which one step fools, or reaches its target: the first
 * of the grid that does, then halves of the interval before it; null where none of the grid does.
 */
async function smallest(question, turn) {
  const label = await prepared(question);
  const signs = await direction(question, label);
  const fools = async (epsilon) => {
    await turn();
    const [[best]] = await top5(moved(picture.clean, signs, epsilon / 100));
    return question.target === null ? best !== label : best === question.target;
  };
  const grid = question.grid.map((epsilon) => Math.round(100 * epsilon));
  let place = 0;
  while (place < grid.length && !(await fools(grid[place]))) place++;
  if (place === grid.length) return { epsilon: null };
  let [low, high] = [grid[place - 1] ?? 0, grid[place]];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    [low, high] = (await fools(middle)) ? [low, middle] : [middle, high];
  }
  return { epsilon: high / 100 };
}

/** What is seen in a picture, such as one that was saved. */
async function classify({ pixels }) {
  return { top: await top5(planar(pixels)) };
}

const tensor = (values, ...shape) => new ort.Tensor("float32", values, shape);
const imageTensor = (image) => tensor(image, 1, 3, network.crop, network.crop);

/** The five most probable classes of an image, as [class, probability]. */
async function top5(image) {
  const { logits } = await graphs.logits.run({ image: imageTensor(image) });
  const largest = Math.max(...logits.data);
  const odds = Array.from(logits.data, (value) => Math.exp(value - largest));
  const sum = odds.reduce((a, b) => a + b);
  const order = odds.map((_, index) => index).sort((a, b) => odds[b] - odds[a]);
  return order.slice(0, 5).map((index) => [index, odds[index] / sum]);
}

/** The sign of the gradient of J = c·log Σ exp z − z_y: cross-entropy for c = 1, −z_y for c = 0. */
async function gradientSign(image, label, objective) {
  const oneHot = Float32Array.from({ length: network.classes }, (_, i) => Number(i === label));
  const { gradient } = await graphs.gradient.run({
    image: imageTensor(image),
    label: tensor(oneHot, 1, network.classes),
    c: tensor([objective === "cross_entropy" ? 1 : 0], 1),
  });
  return gradient.data.map(Math.sign);
}

/** clip(x + ε/255 · direction) to [0, 1]. */
function moved(image, signs, epsilon) {
  const size = Math.fround(epsilon / 255);
  return image.map((value, i) => Math.min(1, Math.max(0, value + size * signs[i])));
}

/** RGBA bytes -> float32 in [0, 1], channel by channel, as the classifier takes them. */
function planar(pixels) {
  const area = pixels.length / 4;
  const channel = (i) => Math.floor(i / area);
  return Float32Array.from(
    { length: 3 * area },
    (_, i) => pixels[4 * (i % area) + channel(i)] / 255,
  );
}

/** Float32 in [0, 1], channel by channel -> RGBA bytes, rounded as an image file would be. */
function rgba(image) {
  const area = image.length / 3;
  const pixels = new Uint8ClampedArray(4 * area).fill(255); // halves to even, as torch does
  image.forEach((value, i) => {
    pixels[4 * (i % area) + Math.floor(i / area)] = Math.fround(255 * value);
  });
  return pixels;
}
