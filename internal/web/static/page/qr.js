// A QR code drawn by elements, of the rows of modules that the server made: no image
// has to be let in.
const svg = "http://www.w3.org/2000/svg";
const quiet = 4; // light modules around it

function shape(tag, properties) {
  const out = document.createElementNS(svg, tag);
  for (const [name, value] of Object.entries(properties)) out.setAttribute(name, value);
  return out;
}

// qrCode draws rows of "0" and "1". It is dark on light whatever the person likes, or
// some apps would not read it.
export function qrCode(rows, name) {
  const side = rows.length + 2 * quiet;
  const out = shape("svg", { viewBox: `0 0 ${side} ${side}`, role: "img", "aria-label": name, class: "qr", "shape-rendering": "crispEdges" });
  const dark = rows.flatMap((row, y) => [...row.matchAll(/1+/g)].map((run) => `M${run.index + quiet} ${y + quiet}h${run[0].length}v1h-${run[0].length}z`));
  out.append(shape("rect", { width: side, height: side, fill: "#fff" }), shape("path", { d: dark.join(""), fill: "#000" }));
  return out;
}
