import { mkdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Browser, BrowserContextOptions, Locator, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Client } from '../../sdk/index.ts'
import { connect } from '../../sdk/index.ts'
import { testProxy, until } from '../../server/testing.ts'
import { barriers } from '../axe.fixture.ts'
import { launchChromium, noChromium } from '../browser.fixture.ts'
import { FrameLog } from './frame-log.fixture.ts'
import { listings } from './page/symbols.ts'
import type { RunningMarket } from './server.ts'
import { startMarket } from './server.ts'

const pictures = fileURLToPath(new URL('../../test-results/market', import.meta.url))
const perSecond = 20_000

let browser: Browser | null = null
let demo: RunningMarket
let client: Client
let page: Page
let frames: FrameLog
/** What the page complained about. */
let complaints: string[] = []

beforeAll(async () => {
  browser = await launchChromium()
  if (browser === null) return
  demo = await startMarket({ port: 0, perSecond })
  client = connect(demo.url)
  await mkdir(pictures, { recursive: true })
})
afterAll(async () => {
  await browser?.close()
  client?.close()
  await demo?.close()
})
beforeEach((context) => {
  if (browser === null) context.skip(noChromium)
  complaints = []
})
afterEach(async () => {
  await page?.context().close()
})

async function open(options: BrowserContextOptions = {}, url = demo.url): Promise<void> {
  if (browser === null) throw new Error(noChromium)
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options })
  page = await context.newPage()
  frames = new FrameLog(page)
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  await page.goto(url)
  await inState('live').waitFor()
  await candles(1)
}

const inState = (state: string): Locator => page.locator(`.link[data-state=${state}]`)
const row = (symbol: string): Locator => page.locator(`.row[data-symbol=${symbol}]`)
const button = (name: string): Locator => page.getByRole('button', { name, exact: true })
const textOf = async (selector: string): Promise<string> => (await page.locator(selector).textContent()) ?? ''

/** Resolves when the chart has so many final candles at least; answers how many. */
async function candles(least: number): Promise<number> {
  const found = await page.waitForFunction(
    (count) => {
      const shown = Number(document.getElementById('chart')?.dataset.candles)
      return shown >= count ? shown : null
    },
    least,
    { timeout: 30_000 },
  )
  return Number(await found.jsonValue())
}

/** Counts what a topic gives from its start on, until `stop` is called. */
function follow(of: Client, topic: string): { readonly count: number; stop(): void } {
  const controller = new AbortController()
  const seen = { count: 0, stop: () => controller.abort() }
  void of.topic(topic).listen(() => void seen.count++, { signal: controller.signal })
  return seen
}

describe('the market page', () => {
  it('shows live prices, candles, alerts and how the flow does', async () => {
    await open()
    for (const { symbol } of listings.slice(0, 10))
      await row(symbol)
        .locator('.row-price', { hasText: /^\d+\.\d\d$/ })
        .waitFor()
    const before = await textOf('#stage-price')
    await page.waitForFunction((price) => document.getElementById('stage-price')?.textContent !== price, before)
    await page.waitForFunction((rate) => {
      const text = document.querySelector('[data-figure=trades] .figure-value')?.textContent ?? ''
      return Math.abs(Number(text.replaceAll(',', '')) / rate - 1) < 0.1
    }, perSecond)
    expect(await textOf('[data-figure=latency] .figure-value')).toMatch(/^\d+\u202fms$/)
    await page.waitForFunction(
      () => Number(document.querySelector('[data-figure=rejected] .figure-value')?.textContent) > 0,
    )
    expect(await textOf('[data-figure=rejected] .figure-more')).toMatch(/price|symbol/)
    await page.locator('.row .spark-line[points*=","]').first().waitFor({ state: 'attached' })
    expect(complaints).toStrictEqual([])
  })

  it('asks the server for what it shows and gets nothing else', async () => {
    await open()
    expect(frames.topics('market/quotes/')).toHaveLength(10)
    await page.getByRole('searchbox').fill('reef')
    await page.locator('#asked', { hasText: '2 of 40' }).waitFor()
    frames.forget()
    await until(() => frames.messages('market/quotes/reef') >= 8 && frames.messages('market/candles/kelp') >= 2)
    const sent = ['market/quotes/kelp', 'market/quotes/reef', 'market/candles/kelp', 'market/candles/reef']
    const others = ['market/alerts', 'market/rejected', 'workflows/market/metrics']
    expect(frames.topics('').filter((topic) => ![...sent, ...others].includes(topic))).toStrictEqual([])
    await page.getByRole('searchbox').fill('nothing like it')
    expect(await textOf('.rows-empty')).toMatch(/No symbol fits “nothing like it”/)
    await page.getByRole('searchbox').fill('')
    await button('All').click()
    await page.locator('#asked', { hasText: '40 of 40' }).waitFor()
    await until(() => frames.topics('market/quotes/').length === 40)
  })

  it('stops taking when it is paused, and then goes on where it was', async () => {
    await open()
    const all = follow(client, 'market/candles/kelp')
    await button('Pause').click()
    await inState('paused').waitFor()
    const before = await candles(1)
    const given = all.count
    frames.forget()
    await until(() => all.count >= given + 4)
    // What had credit may still have come, and that is all.
    for (const { symbol } of listings.slice(0, 10))
      expect(frames.messages(`market/quotes/${symbol.toLowerCase()}`)).toBeLessThanOrEqual(8)
    expect(await candles(1)).toBe(before)
    expect(await textOf('#note')).toMatch(/Paused at \d\d:\d\d:\d\d/)
    await button('Resume').click()
    await inState('live').waitFor()
    await until(async () => (await candles(1)) === all.count)
    all.stop()
    expect(complaints).toStrictEqual([])
  })

  it('tells of candles that the server no longer had when it was resumed', { timeout: 60_000 }, async () => {
    const short = await startMarket({ port: 0, perSecond: 2_000, keep: 3 })
    const reader = connect(short.url)
    try {
      await open({}, short.url)
      await candles(2)
      const all = follow(reader, 'market/candles/kelp')
      await button('Pause').click()
      const given = all.count
      await until(() => all.count >= given + 14, 30_000)
      await button('Resume').click()
      await page.locator('.note[data-kind=gap]', { hasText: /\d+ candles of KELP are gone/ }).waitFor()
      await page.screenshot({ path: `${pictures}/gap.png` })
      all.stop()
    } finally {
      reader.close()
      await short.close()
    }
  })

  it('goes on after a cut without a candle twice or too few, and says meanwhile that it is cut off', async () => {
    const proxy = await testProxy(Number(new URL(demo.url).port))
    try {
      await open({}, proxy.url)
      const all = follow(client, 'market/candles/kelp')
      const server = proxy.target
      const nobody = await testProxy(0)
      await nobody.close()
      proxy.target = Number(new URL(nobody.url).port)
      proxy.cut()
      await inState('reconnecting').waitFor()
      expect(await textOf('[data-figure=trades] .figure-value')).toBe('–')
      await page.screenshot({ path: `${pictures}/reconnecting.png` })
      const given = all.count
      await until(() => all.count >= given + 2)
      proxy.target = server
      await inState('live').waitFor()
      await until(async () => (await candles(1)) === all.count)
      all.stop()
    } finally {
      await proxy.close()
    }
  })

  it('says so when another server has taken the place of its own', { timeout: 60_000 }, async () => {
    const proxy = await testProxy(Number(new URL(demo.url).port))
    const other = await startMarket({ port: 0, perSecond: 2_000 })
    try {
      await open({}, proxy.url)
      proxy.target = Number(new URL(other.url).port)
      proxy.cut()
      await page.locator('.note[data-kind=gap]', { hasText: /started anew/ }).waitFor({ timeout: 30_000 })
      await inState('live').waitFor()
    } finally {
      await proxy.close()
      await other.close()
    }
  })

  it('is slow when nothing new comes', async () => {
    const idle = await startMarket({ port: 0, perSecond: 1_000 })
    const operator = connect(idle.url)
    try {
      await open({}, idle.url)
      await operator.api('POST', '/api/workflows/market/sources', { do: 'pause', node: 'trades' })
      await inState('slow').waitFor()
      await operator.api('POST', '/api/workflows/market/sources', { do: 'resume', node: 'trades' })
      await inState('live').waitFor()
    } finally {
      operator.close()
      await idle.close()
    }
  })

  it('keeps what was chosen over a reload, with the candles that there are', async () => {
    await open()
    await row('REEF').getByRole('button', { name: /REEF/ }).click()
    await page.locator('#stage-title', { hasText: 'REEF' }).waitFor()
    await row('KELP').getByRole('button', { name: 'Watch Kelp Marine' }).click()
    await row('KELP').waitFor({ state: 'detached' })
    const before = await candles(2)
    await page.reload()
    await inState('live').waitFor()
    expect(await textOf('#stage-title')).toBe('REEF')
    expect(await candles(before)).toBeGreaterThanOrEqual(before)
    expect(await row('KELP').count()).toBe(0)
    await button('1 min').click()
    await page.reload()
    await inState('live').waitFor()
    expect(await button('1 min').getAttribute('aria-pressed')).toBe('true')
  })

  it('is worked with the keyboard alone', async () => {
    await open()
    await page.getByRole('searchbox').focus()
    await page.keyboard.press('Tab')
    await page.keyboard.press('Tab')
    const focused = (): Promise<string> => page.evaluate(() => document.activeElement?.textContent ?? '')
    expect(await focused()).toBe('KELPKelp Marine')
    await page.keyboard.press('ArrowDown')
    expect(await focused()).toBe('ORCAOrca Systems')
    expect(await textOf('#stage-title')).toBe('ORCA')
    await page.keyboard.press('End')
    expect(await textOf('#stage-title')).toBe('GEYS')
    // One stop for the tab key, however many symbols there are.
    expect(await page.locator('.row-choose[tabindex="0"]').count()).toBe(1)
  })

  it('stands still for who asked for less motion', async () => {
    await open({ reducedMotion: 'reduce' })
    const before = await textOf('#stage-price')
    await page.waitForFunction((price) => document.getElementById('stage-price')?.textContent !== price, before)
    expect(await page.evaluate(() => document.getAnimations().length)).toBe(0)
  })

  it('fits a phone of 360 px', async () => {
    await open({ viewport: { width: 360, height: 740 } })
    const scrolls = await page.evaluate(
      () => (document.scrollingElement?.scrollWidth ?? 0) - document.documentElement.clientWidth,
    )
    expect(scrolls).toBe(0)
    await page.screenshot({ path: `${pictures}/phone-360.png`, fullPage: true })
    expect(await barriers(page)).toStrictEqual([])
  })

  it.each(['light', 'dark'] as const)('is drawn in %s', async (colorScheme) => {
    await open({ colorScheme })
    const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor)
    const [red = 0] = /\d+/.exec(background) ?? []
    expect(Number(red) > 128).toBe(colorScheme === 'light')
    await page.screenshot({ path: `${pictures}/live-${colorScheme}.png` })
    expect(await barriers(page)).toStrictEqual([])
    expect(complaints).toStrictEqual([])
  })
})
