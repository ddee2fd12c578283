// What the page reads of typed sheets: node testdata/sheets.js FILE
import { readFile } from "node:fs/promises";
import { b64u } from "../static/lib/bytes.js";
import { parseSheet } from "../static/page/sheet.js";

const read = async (text) => {
  try {
    const { identity, seed } = await parseSheet(text);
    return `${identity} ${b64u(seed)}`;
  } catch (err) {
    return `${err.code}: ${err.message}`;
  }
};
console.log(JSON.stringify(await Promise.all(JSON.parse(await readFile(process.argv[2], "utf8")).map(read))));
