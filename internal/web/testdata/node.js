// The vectors in Node: node testdata/node.js FOLDER
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "./vectors.js";

console.log(JSON.stringify(await run((file) => readFile(join(process.argv[2], file), "utf8"))));
