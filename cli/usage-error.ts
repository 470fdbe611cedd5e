/** Something that whoever typed the command can put right: shown as one line, with exit code 2. */
export class UsageError extends Error {
  constructor(text: string) {
    super(text)
    this.name = 'UsageError'
  }
}
