/** The same task as a module that piscina loads. */
export default async function echo(input: unknown): Promise<unknown> {
  return input
}
