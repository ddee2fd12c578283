// I-JSON (RFC 7493) read strictly, and its canonical form (RFC 8785) with the
// protocol's rules (section 1): an object at the top, at most 64 levels deep, no
// member twice, no U+0000, no lone surrogate, no number beyond 2^53-1 however
// it is written. JSON.parse forgives all of these, so it is not used here.
import { Refusal } from "./refusal.js";
import { textOf, utf8 } from "./bytes.js";

const maxDepth = 64;
const maxSafe = "9007199254740991";
const numberForm = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const stringForm = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const spaceForm = /[ \t\n\r]*/y;

// parse reads one object from text or bytes. Objects have no prototype, so that
// no name means anything. extra is by how many levels it may be deeper, for
// answers that hold what may itself be 64 levels deep.
export function parse(source, extra = 0) {
  const text = typeof source === "string" ? source : textOf(source);
  const reader = new Reader(text, maxDepth + extra);
  reader.space();
  if (text[reader.at] !== "{") {
    reader.value(0);
    throw new Refusal("json_not_object", "the value is not a JSON object");
  }
  const out = reader.value(0);
  reader.space();
  if (reader.at < text.length) throw new Refusal("json_trailing_data", `something follows the object at character ${reader.at}`);
  return out;
}

class Reader {
  constructor(text, deepest) {
    this.text = text;
    this.at = 0;
    this.deepest = deepest;
  }

  take(form) {
    form.lastIndex = this.at;
    const found = form.exec(this.text);
    if (found === null) return null;
    this.at = form.lastIndex;
    return found[0];
  }

  space() {
    this.take(spaceForm);
  }

  syntax(what) {
    return new Refusal("json_syntax", `not valid JSON at character ${this.at}: ${what}`);
  }

  value(depth) {
    this.space();
    switch (this.text[this.at]) {
      case "{":
        return this.object(depth + 1);
      case "[":
        return this.array(depth + 1);
      case '"':
        return this.string();
      case "t":
        return this.literal("true", true);
      case "f":
        return this.literal("false", false);
      case "n":
        return this.literal("null", null);
      default:
        return this.number();
    }
  }

  literal(word, value) {
    if (!this.text.startsWith(word, this.at)) throw this.syntax("expected a value");
    this.at += word.length;
    return value;
  }

  // items reads what stands between brackets, apart by commas.
  items(depth, end, item) {
    if (depth > this.deepest) throw new Refusal("json_too_deep", `objects and arrays are nested more than ${this.deepest} levels deep`);
    this.at++;
    this.space();
    if (this.text[this.at] === end) {
      this.at++;
      return;
    }
    for (;;) {
      item();
      this.space();
      const next = this.text[this.at++];
      if (next === end) return;
      if (next !== ",") {
        this.at--;
        throw this.syntax(`expected ',' or '${end}'`);
      }
      this.space();
    }
  }

  array(depth) {
    const out = [];
    this.items(depth, "]", () => out.push(this.value(depth)));
    return out;
  }

  object(depth) {
    const out = Object.create(null);
    this.items(depth, "}", () => {
      if (this.text[this.at] !== '"') throw this.syntax("expected a member name");
      const name = this.string();
      if (name in out) throw new Refusal("json_duplicate_member", "the member stands twice in its object", "/" + name);
      this.space();
      if (this.text[this.at] !== ":") throw this.syntax("expected ':'");
      this.at++;
      out[name] = this.value(depth);
    });
    return out;
  }

  string() {
    const token = this.take(stringForm);
    if (token === null) throw this.syntax("expected a string without raw control characters");
    const value = JSON.parse(token); // a string alone, of the form just checked
    checkText(value);
    return value;
  }

  number() {
    const token = this.take(numberForm);
    if (token === null) throw this.syntax("expected a value");
    const value = Number(token);
    if (Math.abs(value) > Number.MAX_SAFE_INTEGER || (Math.abs(value) === Number.MAX_SAFE_INTEGER && beyondSafe(token))) {
      throw new Refusal("json_number_range", "a number's magnitude exceeds 2^53-1; send it as a string");
    }
    return value === 0 ? 0 : value; // -0 too
  }
}

// beyondSafe says whether a number that rounds to ±(2^53-1) is written larger.
function beyondSafe(token) {
  const digits = token.replace(/^-/, "").split(/[eE]/)[0].replace(".", "").replace(/^0+/, "");
  const head = digits.slice(0, maxSafe.length).padEnd(maxSafe.length, "0");
  return head > maxSafe || (head === maxSafe && /[1-9]/.test(digits.slice(maxSafe.length)));
}

function checkText(text) {
  if (text.includes("\0")) throw new Refusal("json_nul", "U+0000 is not allowed in strings");
  if (!text.isWellFormed()) throw new Refusal("json_lone_surrogate", "a string has a surrogate without its pair");
}

// canonical is JCS of a value as text. What JSON does not hold is refused.
export function canonical(value) {
  switch (typeof value) {
    case "string":
      checkText(value);
      return JSON.stringify(value);
    case "number":
      if (!(Math.abs(value) <= Number.MAX_SAFE_INTEGER)) throw new Refusal("json_number_range", "a number's magnitude exceeds 2^53-1; send it as a string");
      return JSON.stringify(value); // the ECMAScript form is what RFC 8785 asks for; -0 is 0
    case "boolean":
      return String(value);
    case "object":
      if (value === null) return "null";
      if (Array.isArray(value)) return "[" + value.map(canonical).join(",") + "]";
      // sort compares UTF-16 code units, as RFC 8785 section 3.2.3 does.
      return "{" + Object.keys(value).sort().map((name) => canonical(name) + ":" + canonical(value[name])).join(",") + "}";
    default:
      throw new Refusal("json_syntax", `${typeof value} has no form in JSON`);
  }
}

// canonicalize is JCS of JSON given as text or bytes.
export const canonicalize = (source) => canonical(parse(source));

// jcs is JCS of a value as bytes: what is hashed and signed.
export const jcs = (value) => utf8(canonical(value));
