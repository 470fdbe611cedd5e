import { existsSync } from 'node:fs'
import type { Browser } from 'playwright-core'
import { chromium } from 'playwright-core'

export const noChromium = 'skipped: no Chromium; get it by apt-get install chromium, or set CHROMIUM_PATH'

/** Starts Chromium, or answers null where there is none. */
export async function launchChromium(): Promise<Browser | null> {
  const named = process.env.CHROMIUM_PATH ?? ''
  const executablePath = [named, '/usr/bin/chromium', '/usr/bin/chromium-browser'].find(
    (path) => path !== '' && existsSync(path),
  )
  if (executablePath === undefined) return null
  const quiet = ['--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
  // Containers seldom let Chromium build its own sandbox; the pages shown are ours.
  const args = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', ...quiet]
  return chromium.launch({ executablePath, args })
}
