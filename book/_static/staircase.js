// Which pairs a reader sees, and what the answers say of the smallest step that the reader notices.
//
// Two staircases, one for the gradient's signs and one for random signs, take turns in random order.
// Each is a two-down one-up (Levitt 1971): a step larger after a mistake, and smaller after two right
// answers in a row. It settles where √½ = 70.7% of the answers are right; guessing gets half.
"use strict";
(() => {
  // The ε in 1/255. A file of 8 bits holds whole ones; these are about half an octave apart.
  const LEVELS = [1, 2, 3, 4, 6, 8, 11, 16, 23, 32];
  const START = LEVELS.indexOf(16);
  const KINDS = ["signs", "control"];
  const EACH = 20; // pairs of a kind: each of four photographs five times

  // What is taken for granted about a reader: how fast right answers become more with ε, and how
  // often a finger slips.
  const EXPONENT = 2;
  const SLIPS = 0.03;
  // The thresholds that come into question, each as probable as the others: 0.5 to 64, by 1/16 octave.
  const GRID = Array.from({ length: 7 * 16 + 1 }, (_, i) => 0.5 * 2 ** (i / 16));

  /** Numbers in [0, 1) that a whole number decides, everywhere the same ones (mulberry32). */
  function randomNumbers(seed) {
    let state = seed | 0;
    return () => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    };
  }

  function shuffled(list, random) {
    const mixed = [...list];
    for (let last = mixed.length - 1; last > 0; last -= 1) {
      const other = Math.floor(random() * (last + 1));
      [mixed[last], mixed[other]] = [mixed[other], mixed[last]];
    }
    return mixed;
  }

  /** One staircase; until the first mistake each right answer makes the step smaller. */
  function staircase() {
    const answers = []; // [ε, whether it was right]
    let level = START;
    let inARow = 0;
    let mistaken = false;
    return {
      answers,
      epsilon: () => LEVELS[level],
      answer(right) {
        answers.push([LEVELS[level], right]);
        inARow = right ? inARow + 1 : 0;
        mistaken ||= !right;
        if (!right) {
          level = Math.min(level + 1, LEVELS.length - 1);
        } else if (!mistaken || inARow === 2) {
          level = Math.max(level - 1, 0);
          inARow = 0;
        }
      },
    };
  }

  /**
   * The pairs of one session. The seed decides photographs, sides and whose turn it is; with the
   * answers it decides everything.
   * @param {number} seed a whole number
   * @param {number} photographs how many there are; each comes as often as the others
   */
  function session(seed, photographs, each = EACH) {
    const random = randomNumbers(seed);
    const stairs = Object.fromEntries(KINDS.map((kind) => [kind, staircase()]));
    const all = [...Array(photographs).keys()];
    const rounds = Array.from({ length: Math.ceil(each / photographs) });
    const dealt = KINDS.map((kind) => [kind, rounds.flatMap(() => shuffled(all, random))]);
    const pictures = Object.fromEntries(dealt);
    const turns = Array.from({ length: each }, () => shuffled(KINDS, random)).flat();
    const plan = turns.map((kind) => {
      return { kind, picture: pictures[kind].shift(), changed: random() < 0.5 ? 0 : 1 };
    });
    let place = 0;
    return {
      pairs: plan.length,
      answers: Object.fromEntries(KINDS.map((kind) => [kind, stairs[kind].answers])),
      /** The next pair: its number from 1 on, picture, ε and kind, and which of the two is changed. */
      pair() {
        const next = plan[place];
        return next && { number: place + 1, ...next, epsilon: stairs[next.kind].epsilon() };
      },
      answer(chosen) {
        const { kind, changed } = plan[place];
        stairs[kind].answer(chosen === changed);
        place += 1;
      },
    };
  }

  /** How often the answer is right at an ε: a Weibull curve from ½ on that is √½ at the threshold. */
  function rightAt(epsilon, threshold) {
    const top = 1 - SLIPS;
    const scale = -Math.log((top - Math.SQRT1_2) / (top - 0.5));
    return top - (top - 0.5) * Math.exp(-scale * (epsilon / threshold) ** EXPONENT);
  }

  /**
   * The threshold by a list of [ε, right]: the median of those that the answers leave probable, and
   * the limits between which it lies with 95%.
   */
  function threshold(answers) {
    const logs = GRID.map((one) =>
      answers.reduce((sum, [epsilon, right]) => {
        const p = rightAt(epsilon, one);
        return sum + Math.log(right ? p : 1 - p);
      }, 0),
    );
    const most = Math.max(...logs);
    const weights = logs.map((log) => Math.exp(log - most));
    const total = weights.reduce((a, b) => a + b);
    const quantile = (share) => {
      let sum = 0;
      return GRID[weights.findIndex((weight) => (sum += weight) >= share * total)];
    };
    return { epsilon: quantile(0.5), low: quantile(0.025), high: quantile(0.975) };
  }

  const largest = LEVELS.at(-1);
  globalThis.fgsm = Object.assign(globalThis.fgsm ?? {}, { session, threshold, largest });
})();
