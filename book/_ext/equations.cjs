// Draws TeX formulas with MathJax: [[tex, display], …] on stdin, [[svg, mathml], …] on stdout.
// Its argument is the folder of MathJax.
const { readFileSync } = require("node:fs");

const formulas = JSON.parse(readFileSync(0, "utf8"));
require(`${process.argv[2]}/node-main.js`)
  .init({
    loader: { load: ["input/tex-full", "output/svg"] },
    tex: {
      packages: { "[-]": ["noundefined"] }, // it would print unknown commands in red
      formatError: (_, error) => {
        throw error;
      },
    },
    svg: { fontCache: "none" }, // each drawing is complete in itself
  })
  .then((MathJax) => {
    const { adaptor } = MathJax.startup;
    const drawn = formulas.map(([tex, display]) => {
      try {
        const svg = adaptor.innerHTML(MathJax.tex2svg(tex, { display }));
        return [svg, MathJax.tex2mml(tex, { display })];
      } catch (error) {
        throw new Error(`${tex}: ${error.message}`);
      }
    });
    process.stdout.write(JSON.stringify(drawn));
  })
  .catch((error) => {
    process.stderr.write(error.message);
    process.exit(1);
  });
