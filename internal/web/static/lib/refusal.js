// Refusal says why something does not hold: a stable code, a sentence for a
// person, and where it is known the place as a JSON Pointer.
export class Refusal extends Error {
  constructor(code, detail, pointer = "") {
    super(detail);
    this.name = "Refusal";
    this.code = code;
    this.pointer = pointer;
  }

  // within is the same refusal, one level further out.
  within(member) {
    const token = String(member).replaceAll("~", "~0").replaceAll("/", "~1");
    return new Refusal(this.code, this.message, "/" + token + this.pointer);
  }
}

// beneath runs f, whose refusals then point beneath a member.
export function beneath(member, f) {
  try {
    return f();
  } catch (err) {
    throw err instanceof Refusal ? err.within(member) : err;
  }
}
