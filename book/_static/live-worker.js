// Runs the classifier of this build in the reader's browser, beside the page: live.js asks, this
// answers. The method is that of fgsm_lib/attacks.py; the graphs come from
// fgsm_lib/site/onnx_export.py, and ONNX Runtime Web runs them.

/** What the page tells its reader: a kind that it has a sentence for, and a detail. */
class Fault extends Error {
  constructor(kind, detail) {
    super(detail);
    this.kind = kind;
  }
}

const questions = { load, attack };

self.onmessage = async ({ data: { kind, ...question } }) => {
  try {
    const { transfer = [], ...answer } = await questions[kind](question);
    self.postMessage({ answer }, transfer);
  } catch (error) {
    self.postMessage({ fault: { kind: error.kind ?? kind, detail: String(error.message) } });
  }
};

let ort;
let graphs; // { logits, gradient }: sessions of the runtime
let crop;
let classes;

/**
 * Load runtime, graphs and weights, and say meanwhile which part of the bytes has come.
 * @param {{files: Object<string, number>, version: string, crop: number, classes: number}} facts
 */
async function load(facts) {
  ({ crop, classes } = facts);
  const folder = new URL("live/", self.location);
  const address = (name) => new URL(`${name}?v=${facts.version}`, folder).href;
  const total = Object.values(facts.files).reduce((sum, size) => sum + size, 0);
  let loaded = 0;
  const fetched = async (name) => {
    const file = await bytes(address(name), name, (size) => {
      loaded += size;
      self.postMessage({ loaded: Math.min(1, loaded / total) });
    });
    if (file.length !== facts.files[name]) throw new Fault("network", `${name} is another file`);
    return file;
  };
  const [wasm, logits, gradient, weights] = await Promise.all(
    ["ort-wasm-simd-threaded.wasm", "logits.onnx", "gradient.onnx", "weights.bin"].map(fetched),
  );
  try {
    ort = await import(address("ort.wasm.bundle.min.mjs"));
  } catch (error) {
    throw new Fault("network", String(error.message));
  }
  ort.env.logLevel = "error";
  ort.env.wasm.wasmBinary = wasm.buffer;
  ort.env.wasm.numThreads = 1; // more would need headers that a plain file server does not send
  const options = { externalData: [{ path: "weights.bin", data: weights }] };
  graphs = {
    logits: await ort.InferenceSession.create(logits, options),
    gradient: await ort.InferenceSession.create(gradient, options),
  };
  return {};
}

/** The bytes of a file; `arrived` is called with the size of each piece. */
async function bytes(address, name, arrived) {
  let response;
  const pieces = [];
  try {
    response = await fetch(address);
    if (!response.ok) throw new Error(`${response.status}`);
    const reader = response.body.getReader();
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      pieces.push(piece.value);
      arrived(piece.value.length);
    }
  } catch (error) {
    throw new Fault("network", `${name}: ${error.message}`);
  }
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

let picture; // the one under attack, with what has been computed of it

/**
 * One step of FGSM, and one of the same size along random signs.
 *
 * The gradient is computed once for a picture and objective, what is seen once for each ε.
 * @param {{pixels?: Uint8ClampedArray, label: ?number, objective: string, epsilon: number}} asked
 *   `pixels` (RGBA) where the picture is a new one; `label` is the class to attack, null for the
 *   one that is seen in the clean picture; `epsilon` in 1/255.
 * @returns top-5 lists of [class, probability], and the pictures as RGBA bytes
 */
async function attack({ pixels, label, objective, epsilon }) {
  if (pixels) picture = { clean: planar(pixels), signs: {}, seen: {} };
  const { clean, signs, seen } = picture;
  const once = async (store, key, compute) => (store[key] ??= await compute());
  const before = await once(seen, "clean", () => top5(clean));
  const target = label ?? before[0][0];
  const sign = await once(signs, objective, () => gradientSign(clean, target, objective));
  const random = await once(signs, "random", () => randomSigns(clean.length));
  const adversarial = step(clean, sign, epsilon);
  const control = step(clean, random, epsilon);
  const answer = {
    label: target,
    clean: { top5: before },
    adversarial: { top5: await once(seen, `${objective} ${epsilon}`, () => top5(adversarial)) },
    control: { top5: await once(seen, `random ${epsilon}`, () => top5(control)) },
    perturbation: { amplified: epsilon ? 127 / epsilon : 1 },
  };
  answer.clean.pixels = rgba(clean);
  answer.adversarial.pixels = rgba(adversarial);
  answer.control.pixels = rgba(control);
  answer.perturbation.pixels = aroundGray(clean, adversarial, answer.perturbation.amplified);
  answer.roundsAway =
    epsilon > 0 && answer.adversarial.pixels.every((value, i) => value === answer.clean.pixels[i]);
  const shown = [answer.clean, answer.adversarial, answer.control, answer.perturbation];
  return { ...answer, transfer: shown.map((part) => part.pixels.buffer) };
}

const imageTensor = (image) => new ort.Tensor("float32", image, [1, 3, crop, crop]);

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
async function gradientSign(image, target, objective) {
  const label = new Float32Array(classes);
  label[target] = 1;
  const { gradient } = await graphs.gradient.run({
    image: imageTensor(image),
    label: new ort.Tensor("float32", label, [1, classes]),
    c: new ort.Tensor("float32", [objective === "cross_entropy" ? 1 : 0], [1]),
  });
  return gradient.data.map(Math.sign);
}

/** -1 or 1 by chance, from as many random bits. */
function randomSigns(length) {
  const bits = new Uint8Array(Math.ceil(length / 8));
  for (let i = 0; i < bits.length; i += 65536) crypto.getRandomValues(bits.subarray(i, i + 65536));
  return Float32Array.from({ length }, (_, i) => ((bits[i >> 3] >> (i & 7)) & 1 ? 1 : -1));
}

/** clip(x + ε · direction) to [0, 1]. */
function step(image, direction, epsilon) {
  const size = Math.fround(epsilon / 255);
  return image.map((value, i) => Math.min(1, Math.max(0, value + size * direction[i])));
}

/** RGBA bytes -> float32 in [0, 1], channel by channel, as the classifier takes them. */
function planar(pixels) {
  const area = pixels.length / 4;
  const channel = (i) => Math.floor(i / area);
  return Float32Array.from({ length: 3 * area }, (_, i) => pixels[4 * (i % area) + channel(i)] / 255);
}

/** Float32 in [0, 1], channel by channel -> RGBA bytes, rounded as an image file would be. */
function rgba(image) {
  const area = image.length / 3;
  const pixels = new Uint8ClampedArray(4 * area).fill(255);
  image.forEach((value, i) => {
    pixels[4 * (i % area) + Math.floor(i / area)] = 255 * value;
  });
  return pixels;
}

/** The difference of two images, amplified, around middle gray. */
function aroundGray(from, to, amplified) {
  return rgba(from.map((value, i) => (128 + 255 * amplified * (to[i] - value)) / 255));
}
