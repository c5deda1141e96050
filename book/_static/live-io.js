// What the live page reads: the answers of its worker, and picture files as its network sees them.

const SILENCE = 60_000; // milliseconds without a word, after which the worker counts as lost
const FAULTS = {
  network: (detail) => `A part of the live page did not arrive (${detail}).`,
  load: (detail) => `This browser could not start the network (${detail}).`,
  start: (detail) => `The worker that computes the attack never started (${detail}).`,
  lost: () => "The worker that computes the attack does not answer any more.",
};
const RUNTIME = { bytes: 14.3e6, packed: 3.7e6 }; // about; packed as servers send it
const LARGEST = 120e6; // pixels of a photograph: a browser takes four bytes for each of them
const ANIMATED = { "image/gif": "NETSCAPE", "image/png": "acTL", "image/webp": "ANIM" };
const AS_STORED = { colorSpaceConversion: "none", imageOrientation: "from-image" };

/**
 * What can be run here: entries of the manifest, each with the `runtime` that runs it, its `bytes`
 * with or without that, and the `megabytes` of a first download, about, as servers send them; and
 * what is `missing`, in a sentence.
 */
export async function available() {
  const nothing = (missing) => ({ networks: [], missing });
  if (typeof WebAssembly === "undefined") {
    return nothing("This browser has no WebAssembly, or it is switched off.");
  }
  const read = async (name) => {
    const response = await fetch(new URL(`live/${name}`, import.meta.url)).catch(() => null);
    return response?.ok ? response.text() : "";
  };
  const reason = (await read("missing.txt")).trim();
  if (reason)
    return nothing(`What runs a network, onnxruntime-web, was not to be had (${reason}).`);
  const manifest = await read("manifest.json");
  if (!manifest) return nothing("This build has no network for a browser.");
  const { runtime, networks } = JSON.parse(manifest);
  const described = (entry) => {
    const size = Object.values(entry.files).reduce((a, b) => a + b);
    const bytes = (first) => size + (first ? RUNTIME.bytes : 0);
    const megabytes = Math.ceil((0.92 * entry.files["weights.bin"] + RUNTIME.packed) / 1e6);
    return { ...entry, runtime, bytes, megabytes };
  };
  return {
    networks: networks.filter(({ missing }) => !missing).map(described),
    missing: networks
      .flatMap(({ name, missing }) => (missing ? [`${name}: ${missing}`] : []))
      .join(" "),
  };
}

/**
 * Start the worker. A question makes those before it superfluous; their answer is then null.
 * @param {(done: number) => void} progress is told bytes that came, or the step that begins
 */
export function startWorker(progress) {
  const address = new URL("live-worker.js", import.meta.url);
  const worker = new Worker(address, { type: "module" });
  const waiting = new Map();
  let asked = 0;
  let ready = false;
  let timer = 0;
  const fail = (kind, detail) => {
    const sentence = FAULTS[kind] ?? ((why) => `The attack broke off (${why}).`);
    for (const { reject } of waiting.values()) reject(new Error(sentence(detail)));
    waiting.clear();
  };
  /** One that never spoke may have been sent as something that is no script. */
  const lose = async () => {
    if (ready) return fail("lost");
    const response = await fetch(address).catch(() => null);
    const kind = response?.headers.get("content-type") ?? "nothing";
    const sent = `the server sent live-worker.js as ${kind}, ${response?.status ?? "no answer"}`;
    fail("start", response?.ok && kind.includes("javascript") ? "is this browser old?" : sent);
  };
  const listen = () => {
    clearTimeout(timer);
    if (waiting.size) timer = setTimeout(lose, SILENCE);
  };
  worker.onmessage = ({ data: { id, answer, fault, progress: done } }) => {
    ready = true;
    if (done) progress(done);
    if (fault && fault.kind !== "superseded") fail(fault.kind, fault.detail);
    else if (answer || fault) waiting.get(id)?.resolve(answer ?? null);
    if (answer || fault) waiting.delete(id);
    listen();
  };
  worker.onerror = (event) => {
    event.preventDefault();
    lose();
  };
  const ask = (question) =>
    new Promise((resolve, reject) => {
      asked += 1;
      waiting.set(asked, { resolve, reject });
      listen();
      worker.postMessage({ ...question, id: asked });
    });
  return { ask, end: () => worker.terminate() };
}

/** Something that keeps a picture or a setting from being used; the message is the reader's. */
export class Refusal extends Error {}

// Pictures are RGBA bytes of a square. What a picture is, is that of fgsm_lib/pictures.py: upright,
// transparency on white, without color profiles.

/** The pixels of a file of the right size: one of the build's, or one that was saved. */
export async function whole(blob) {
  const bitmap = await createImageBitmap(blob, AS_STORED);
  return part(bitmap, 0, 0, bitmap.width, bitmap.height);
}

/** Show pixels in a canvas, which is returned. */
export function paint(canvas, pixels) {
  const side = Math.sqrt(pixels.length / 4);
  Object.assign(canvas, { width: side, height: side });
  canvas.getContext("2d").putImageData(new ImageData(pixels, side), 0, 0);
  return canvas;
}

/** A file of the reader's, resized and cut as Python does it; Refusal where it is no picture. */
export async function own(file, { resize, crop }) {
  const { width, height } = await measured(file);
  if (width * height > LARGEST) {
    const found = `${file.name} has ${Math.round((width * height) / 1e6)} megapixels`;
    throw new Refusal(`${found}; this page takes up to ${LARGEST / 1e6}.`);
  }
  const bitmap = await createImageBitmap(file, AS_STORED).catch(() => refuse(file));
  const pixels = resized(bitmap, resize, crop);
  bitmap.close();
  return pixels;
}

/** Whether a file says of itself that it is animated, in the word of its format. */
export async function animated(file) {
  return file.type in ANIMATED && (await file.slice(0, 4096).text()).includes(ANIMATED[file.type]);
}

function refuse({ name }) {
  throw new Refusal(`${name} is not a picture that this browser can read; try PNG, JPEG or WebP.`);
}

/** Width and height of a picture file, from its header: nothing is decoded yet. */
function measured(file) {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  const size = () => ({ width: image.naturalWidth, height: image.naturalHeight });
  return new Promise((resolve, reject) =>
    Object.assign(image, { onload: resolve, onerror: reject }),
  )
    .then(size, () => refuse(file))
    .finally(() => URL.revokeObjectURL(image.src));
}

/** The pixels of a part of a bitmap; what is transparent in it becomes white. */
function part(bitmap, left, top, width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, -left, -top);
  return context.getImageData(0, 0, width, height).data;
}

/**
 * The shorter side resized to `resize`, and of that the central square of `crop` pixels, as
 * torchvision and Pillow do it (bilinear with antialiasing, in whole numbers): the same bytes.
 * The bitmap is read in strips, so that a large one is never there a second time.
 */
function resized(bitmap, resize, crop) {
  const shorter = Math.min(bitmap.width, bitmap.height);
  const [columns, rows] = [bitmap.width, bitmap.height].map((length) =>
    taps(length, Math.floor((resize * length) / shorter), crop),
  );
  const [left, right] = [columns[0].start, columns.at(-1).end];
  const [top, bottom] = [rows[0].start, rows.at(-1).end];
  const narrow = new Uint8ClampedArray(4 * crop * (bottom - top));
  for (let y = top; y < bottom; y += 128) {
    const height = Math.min(128, bottom - y);
    const strip = part(bitmap, left, y, right - left, height);
    for (let row = 0; row < height; row++) {
      const start = 4 * ((right - left) * row - left);
      weigh(columns, strip, start, 4, narrow, 4 * crop * (y - top + row), 4);
    }
  }
  const square = new Uint8ClampedArray(4 * crop * crop);
  for (let column = 0; column < crop; column++) {
    weigh(rows, narrow, 4 * (column - crop * top), 4 * crop, square, 4 * column, 4 * crop);
  }
  return square;
}

/** For each of the central `crop` of `out` pixels: which of a side it reads, and their weights. */
function taps(length, out, crop) {
  const scale = length / out;
  const support = Math.max(scale, 1);
  const half = (out - crop) / 2;
  const first = half % 1 ? 2 * Math.round(half / 2) : half; // halves to even, as Python rounds
  return Array.from({ length: crop }, (_, i) => {
    const center = (first + i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(length, Math.trunc(center + support + 0.5));
    const triangle = (_, j) => Math.max(0, 1 - Math.abs((start + j - center + 0.5) / support));
    const weights = Array.from({ length: end - start }, triangle);
    const sum = weights.reduce((a, b) => a + b);
    return { start, end, weights: weights.map((weight) => Math.round((weight / sum) * 2 ** 22)) };
  });
}

/** Weighted sums along a line of RGBA bytes, into another line, rounded as Pillow rounds. */
function weigh(taps, from, offset, stride, to, place, step) {
  for (const { start, weights } of taps) {
    for (let channel = 0; channel < 4; channel++) {
      let sum = 2 ** 21;
      let at = offset + stride * start + channel;
      for (const weight of weights) {
        sum += weight * from[at];
        at += stride;
      }
      to[place + channel] = sum >> 22;
    }
    place += step;
  }
}
