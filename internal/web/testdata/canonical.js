// Answers a list of documents, base64url each, with the canonical form of each, or
// null where it is refused: node testdata/canonical.js FILE
import { readFile } from "node:fs/promises";
import { b64u, parseB64u, utf8 } from "../static/lib/bytes.js";
import { canonicalize } from "../static/lib/json.js";
import { Refusal } from "../static/lib/refusal.js";

const answer = (document) => {
  try {
    return b64u(utf8(canonicalize(parseB64u(document))));
  } catch (err) {
    if (err instanceof Refusal) return null;
    throw err;
  }
};
console.log(JSON.stringify(JSON.parse(await readFile(process.argv[2], "utf8")).map(answer)));
