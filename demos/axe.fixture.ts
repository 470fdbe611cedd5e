import { AxeBuilder } from '@axe-core/playwright'
import type { Page } from 'playwright-core'

/** What a page does against WCAG 2.2 AA and axe's good practice, a line for each element; none on a page that all can use. */
export async function barriers(page: Page): Promise<readonly string[]> {
  const { violations } = await new AxeBuilder({ page })
    .withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'])
    .analyze()
  return violations.flatMap(({ id, help, nodes }) =>
    nodes.map(
      (each) =>
        `${id}: ${help}: ${each.target.join(' ')}: ${each.failureSummary?.split('\n').slice(1).join(' ').trim()}`,
    ),
  )
}
