// The pixels of a step, as Python computes them: clip(x + ε·sign), rounded to 8 bits.
//
// torch calculates in 32-bit floats and rounds halves to even. Both decide where a pixel ends that
// lies between two levels, so both are done here as well.
"use strict";
globalThis.fgsm = Object.assign(globalThis.fgsm ?? {}, {
  /** The nearest whole number; of two, the even one. */
  roundHalfEven(value) {
    const floor = Math.floor(value);
    const rest = value - floor;
    if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
    return floor % 2 ? floor + 1 : floor;
  },

  /**
   * Where a step brings each level from 0 to 255, as a float in [0, 1].
   * @param {number} epsilon in 1/255
   * @param {number} sign -1, 0 or 1
   * @param {[number, number]} bounds the smallest and the largest value of the channel
   */
  moved(epsilon, sign, [low, high]) {
    const step = Math.fround(epsilon / 255);
    return Float32Array.from({ length: 256 }, (_, level) => {
      const value = Math.fround(Math.fround(level / 255) + sign * step);
      return Math.min(Math.max(value, Math.fround(low)), Math.fround(high));
    });
  },

  /** The same as a file with 8 bits a channel holds them. */
  levels(epsilon, sign, bounds) {
    const rounded = (value) => fgsm.roundHalfEven(Math.fround(value * 255));
    return Uint8Array.from(fgsm.moved(epsilon, sign, bounds), rounded);
  },

  /** What the step adds, stretched to the whole range around gray. */
  around(epsilon, sign, bounds) {
    const factor = epsilon ? 127 / epsilon : 1;
    const gray = (value, level) => 128 + (255 * value - level) * factor;
    return Uint8Array.from(fgsm.moved(epsilon, sign, bounds), (value, level) =>
      Math.min(Math.max(Math.round(gray(value, level)), 0), 255),
    );
  },

  /**
   * The signs of all channels of all pixels, from base64 of one bit each: where the sign is 1, and,
   * in a second plane that may be missing, where it is 0.
   */
  signs([plus, zero], count) {
    const bits = (plane) => {
      const bytes = Uint8Array.from(atob(plane), (letter) => letter.charCodeAt(0));
      return (place) => (bytes[place >> 3] >> (7 - (place & 7))) & 1;
    };
    const isPlus = bits(plus);
    const isZero = zero ? bits(zero) : () => 0;
    return Int8Array.from({ length: count }, (_, i) => (isZero(i) ? 0 : 2 * isPlus(i) - 1));
  },

  /**
   * A function that draws one of the pictures of a step ("clean", "image signs", …) on a canvas,
   * from what `picture_data` of fgsm_lib/slider.py encodes.
   */
  async painter({ clean, directions, bounds }) {
    const image = new Image();
    image.src = clean;
    await image.decode();
    const { naturalWidth: width, naturalHeight: height } = image;
    const own = Object.assign(document.createElement("canvas"), { width, height });
    const context = own.getContext("2d");
    context.drawImage(image, 0, 0);
    const { data: levels } = context.getImageData(0, 0, width, height);
    const signs = {};
    for (const [name, planes] of Object.entries(directions)) {
      signs[name] = fgsm.signs(planes, 3 * width * height);
    }
    return (canvas, what, epsilon) => {
      const [kind, direction] = what.split(" ");
      const shown = new ImageData(levels.slice(), width, height);
      if (direction) {
        const level = kind === "image" ? fgsm.levels : fgsm.around;
        const tables = bounds.map((bound) => [-1, 0, 1].map((sign) => level(epsilon, sign, bound)));
        for (let pixel = 0, place = 0; pixel < levels.length; pixel += 4) {
          for (let channel = 0; channel < 3; channel += 1, place += 1) {
            const table = tables[channel][signs[direction][place] + 1];
            shown.data[pixel + channel] = table[levels[pixel + channel]];
          }
        }
      }
      canvas.getContext("2d").putImageData(shown, 0, 0);
    };
  },
});
