// Wrong says what is wrong with a field of the step.
export class Wrong extends Error {
  constructor(field, words) {
    super(words);
    this.field = field;
  }
}
