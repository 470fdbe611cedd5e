/** Lines of text in columns as wide as they need; the first `leftColumns` stand to the left, the rest are numbers and stand to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[], leftColumns: number): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => {
        const width = widths[column] ?? 0
        return column < leftColumns ? cell.padEnd(width) : cell.padStart(width)
      })
      .join('  ')
      .trimEnd()
  return [line(head), ...rows.map(line)].join('\n')
}
