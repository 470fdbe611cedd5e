import { existsSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Browser, BrowserContextOptions, Locator, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { testProxy } from '../../server/testing.ts'
import { barriers } from '../axe.fixture.ts'
import { launchChromium, noChromium } from '../browser.fixture.ts'
import { repeatClip } from './long-clip.fixture.ts'
import type { RunningDemo } from './server.ts'
import { startDemo } from './server.ts'
import type { Clips } from './video/clips.fixture.ts'
import { makeClips } from './video/clips.fixture.ts'

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const realClip = here('../../../shared/media/bbb-480p-30s.mp4')
const pictures = here('../../test-results/thumbnails')

let browser: Browser | null = null
let demo: RunningDemo
let clips: Clips
/** 600 thumbnails: seconds of work. */
let long: string
let page: Page
/** What the page complained about. */
let complaints: string[] = []

beforeAll(async () => {
  browser = await launchChromium()
  if (browser === null) return
  clips = await makeClips()
  long = await repeatClip(clips.paths.end, clips.path('long.mp4'), 30)
  demo = await startDemo({ port: 0 })
  await mkdir(pictures, { recursive: true })
})
afterAll(async () => {
  await browser?.close()
  await demo?.close()
  await clips?.remove()
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
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options })
  page = await context.newPage()
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  await page.goto(url)
  await page.locator('.link[data-state=live]').waitFor()
}

async function drop(path: string, name: string): Promise<void> {
  const bytes = (await readFile(path)).toString('base64')
  await page.evaluate(
    ({ bytes, name }) => {
      const raw = Uint8Array.from(atob(bytes), (each) => each.charCodeAt(0))
      const carried = new DataTransfer()
      carried.items.add(new File([raw], name, { type: 'video/mp4' }))
      for (const type of ['dragenter', 'dragover', 'drop'])
        document.body.dispatchEvent(new DragEvent(type, { dataTransfer: carried, bubbles: true, cancelable: true }))
    },
    { bytes, name },
  )
}

const choose = (...paths: string[]): Promise<void> => page.locator('#file').setInputFiles(paths)
const card = (name: string): Locator => page.getByRole('article', { name })
const inState = (name: string, state: string): Locator =>
  page.locator(`.card[data-state="${state}"]`, { has: page.getByRole('heading', { name }) })

/** Resolves as soon as so many thumbnails are there; answers the state at that moment. */
async function atLeast(name: string, count: number): Promise<{ readonly count: number; readonly state: string }> {
  const found = await card(name).elementHandle()
  const seen = await page.waitForFunction(
    ([each, least]) =>
      each instanceof HTMLElement && Number(each.dataset.count) >= Number(least)
        ? { count: Number(each.dataset.count), state: each.dataset.state ?? '' }
        : null,
    [found, count] as const,
    { timeout: 60_000 },
  )
  const value = await seen.jsonValue()
  if (value === null) throw new Error('nothing was seen')
  return value
}

const indexesOf = (name: string): Promise<number[]> =>
  card(name)
    .locator('.tile')
    .evaluateAll((tiles) => tiles.map((tile) => Number(tile.getAttribute('data-index'))))

const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at)

/** A port that refuses whoever comes. */
async function portOfNobody(): Promise<number> {
  const proxy = await testProxy(0)
  await proxy.close()
  return Number(new URL(proxy.url).port)
}

async function running(): Promise<number> {
  const answer: { running: number } = await (await fetch(`${demo.url}/api/workflows/thumbnails`)).json()
  return answer.running
}

describe('the thumbnails page', () => {
  it('shows the thumbnails of a video that is dropped on it, where they are in time', async () => {
    await open()
    await drop(existsSync(realClip) ? realClip : clips.paths.end, 'dropped.mp4')
    await inState('dropped.mp4', 'done').waitFor()
    const indexes = await indexesOf('dropped.mp4')
    expect(indexes.length).toBeGreaterThanOrEqual(5)
    expect(indexes).toStrictEqual(upTo(indexes.length))
    const [name, value] = await card('dropped.mp4')
      .locator('.figures > div')
      .first()
      .locator('dt, dd')
      .allTextContents()
    expect([name, value]).toStrictEqual(['First, after upload', expect.stringMatching(/^[\d.]+\u202f(ms|s)$/)])
    // Every picture that is shown was decoded by the browser, too.
    const widths = await card('dropped.mp4')
      .locator('.tile img')
      .evaluateAll((images) =>
        images.map((image) => (image instanceof HTMLImageElement && image.complete ? image.naturalWidth : 0)),
      )
    expect(Math.min(...widths)).toBeGreaterThan(100)
    expect(complaints).toStrictEqual([])
  })

  it('draws a sample and shows it', async () => {
    await open()
    await page.getByRole('button', { name: 'Try the sample' }).click()
    await inState('Sample video', 'done').waitFor({ timeout: 60_000 })
    expect(await indexesOf('Sample video')).toStrictEqual(upTo(20))
  })

  it('shows thumbnails while the work goes on, stops when asked to, and shows a second video meanwhile', async () => {
    await open()
    await choose(long)
    const seen = await atLeast('long.mp4', 10)
    expect(seen).toMatchObject({ state: 'live' })
    expect(seen.count).toBeLessThan(600)
    expect(await running()).toBe(1)
    await choose(clips.paths.mkv)
    await card('long.mp4').getByRole('button', { name: 'Stop' }).click()
    await inState('long.mp4', 'stopped').waitFor()
    await inState('clip.mkv', 'done').waitFor()
    expect(await indexesOf('clip.mkv')).toStrictEqual(upTo(20))
    expect((await indexesOf('long.mp4')).length).toBeLessThan(600)
    expect(await running()).toBe(0)
    await card('long.mp4').getByRole('button', { name: 'Remove long.mp4' }).click()
    await card('long.mp4').waitFor({ state: 'detached' })
  })

  it('goes on after a reload where it was, with each thumbnail once', async () => {
    await open()
    await choose(long)
    await atLeast('long.mp4', 20)
    await page.reload()
    expect(await running()).toBe(1)
    await inState('long.mp4', 'done').waitFor({ timeout: 60_000 })
    expect(await indexesOf('long.mp4')).toStrictEqual(upTo(600))
    // What has ended can be looked at again, too, for as long as the server keeps it.
    const figures = await card('long.mp4').locator('dd').allTextContents()
    await page.reload()
    await inState('long.mp4', 'done').waitFor({ timeout: 60_000 })
    expect(await card('long.mp4').locator('dd').allTextContents()).toStrictEqual(figures)
    expect(await indexesOf('long.mp4')).toStrictEqual(upTo(600))
  })

  it('says what is wrong with a file that is no video, and what to do', async () => {
    await open()
    await choose(await clips.write('letter.txt', 'Dear reader'))
    await inState('letter.txt', 'failed').waitFor()
    expect(await card('letter.txt').locator('.note').textContent()).toMatch(/not a video.*Choose a video file/)
    expect(await page.locator('#said').textContent()).toMatch(/letter\.txt: Failed/)
    // Sending the same file again would not help.
    expect(await card('letter.txt').getByRole('button', { name: 'Send again' }).isVisible()).toBe(false)
  })

  it('says of a folder that is dropped that it cannot be read, and does not blame the server', async () => {
    await open()
    const session = await page.context().newCDPSession(page)
    // What a person drops; a script could not make a folder up.
    const data = { items: [], files: [dirname(clips.paths.end)], dragOperationsMask: 1 }
    for (const type of ['dragEnter', 'dragOver', 'drop'] as const)
      await session.send('Input.dispatchDragEvent', { type, x: 300, y: 300, data })
    const name = basename(dirname(clips.paths.end))
    await inState(name, 'failed').waitFor()
    expect(await card(name).locator('.note').textContent()).toMatch(/cannot be read: it is a folder.*Choose/)
    expect(await card(name).getByRole('button', { name: 'Send again' }).isVisible()).toBe(false)
  })

  it('goes on by itself after its connection was cut in the middle', async () => {
    const proxy = await testProxy(Number(new URL(demo.url).port))
    try {
      await open({}, proxy.url)
      await choose(long)
      expect(await atLeast('long.mp4', 20)).toMatchObject({ state: 'live' })
      // Cut off for as long as it takes to look.
      const server = proxy.target
      proxy.target = await portOfNobody()
      expect(proxy.cut()).toBeGreaterThan(0)
      await page.locator('.link[data-state=reconnecting]').waitFor()
      expect(await page.locator('#load').textContent()).toBe('not connected')
      proxy.target = server
      await page.locator('.link[data-state=live]').waitFor()
      await inState('long.mp4', 'done').waitFor({ timeout: 60_000 })
      expect(await indexesOf('long.mp4')).toStrictEqual(upTo(600))
    } finally {
      await proxy.close()
    }
  })

  it('says so when another server has taken the place of its own, and sends the video again when asked to', async () => {
    const proxy = await testProxy(Number(new URL(demo.url).port))
    const other = await startDemo({ port: 0 })
    try {
      await open({}, proxy.url)
      await choose(long)
      await atLeast('long.mp4', 20)
      proxy.target = Number(new URL(other.url).port)
      proxy.cut()
      await inState('long.mp4', 'failed').waitFor({ timeout: 30_000 })
      expect(await card('long.mp4').locator('.note').textContent()).toMatch(/Send (it|the video) again/)
      await card('long.mp4').getByRole('button', { name: 'Send again' }).click()
      await inState('long.mp4', 'done').waitFor({ timeout: 60_000 })
      expect(await indexesOf('long.mp4')).toStrictEqual(upTo(600))
    } finally {
      await proxy.close()
      await other.close()
    }
  })

  it('says after a reload that another server knows nothing of its videos', async () => {
    const proxy = await testProxy(Number(new URL(demo.url).port))
    const other = await startDemo({ port: 0 })
    try {
      await open({}, proxy.url)
      await choose(clips.paths.end)
      await inState('end.mp4', 'done').waitFor()
      proxy.target = Number(new URL(other.url).port)
      await page.reload()
      await inState('end.mp4', 'failed').waitFor()
      expect(await card('end.mp4').locator('.note').textContent()).toMatch(/started anew.*Send it again/)
    } finally {
      await proxy.close()
      await other.close()
    }
  })

  it('says that it is slow when nothing new comes for some seconds', async () => {
    await open()
    await page.route('**/thumbnails', () => {
      // Never answered: an upload that stands still.
    })
    await page.clock.install()
    await choose(clips.paths.end)
    await inState('end.mp4', 'uploading').waitFor()
    await page.clock.fastForward(6000)
    await inState('end.mp4', 'slow').waitFor()
    await card('end.mp4').getByRole('button', { name: 'Stop' }).click()
    await inState('end.mp4', 'stopped').waitFor()
  })

  it('is worked with the keyboard alone', async () => {
    await open()
    await choose(clips.paths.end)
    await inState('end.mp4', 'done').waitFor()
    await page.locator('#choose').focus()
    const order: string[] = []
    for (let at = 0; at < 4; at++) {
      await page.keyboard.press('Tab')
      order.push(
        await page.evaluate(
          () => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent ?? '',
        ),
      )
    }
    expect(order).toStrictEqual(['Try the sample', 'Copy the command', 'Remove end.mp4', '0:00.0'])
    await page.keyboard.press('ArrowRight')
    await page.keyboard.press('ArrowRight')
    expect(await card('end.mp4').locator('.picture').getAttribute('alt')).toBe('The video at 0:02.0')
    await page.keyboard.press('End')
    expect(await page.evaluate(() => document.activeElement?.getAttribute('aria-label'))).toBe('0:19.0')
    await page.keyboard.press('Enter')
    expect(await page.locator('.tile[aria-selected=true]').getAttribute('aria-label')).toBe('0:19.0')
    // One stop for the tab key, however many thumbnails there are.
    expect(await card('end.mp4').locator('.tile[tabindex="0"]').count()).toBe(1)
  })

  it('draws the workflow with what has flowed through it', async () => {
    await open()
    const before = await page.locator('.node-image .node-rate').textContent()
    // Looked for from before the start, because each is there for a moment, and not all in the same one.
    const seen = Promise.all([
      page.locator('.node-frames.busy').waitFor(),
      page.waitForFunction((rate) => document.querySelector('.node-image .node-rate')?.textContent !== rate, before),
      page.waitForFunction(() => document.querySelectorAll('.stream.flowing').length > 4),
    ])
    await choose(clips.paths.end)
    await seen
    await page.locator('.node-frames:not(.busy)').waitFor()
  })

  it('stands still for who asked for less motion', async () => {
    await open({ reducedMotion: 'reduce' })
    await choose(long)
    await page.locator('.node-frames.busy').waitFor()
    const moving = await page.evaluate(
      () =>
        document
          .getAnimations()
          .filter((each) => each.playState === 'running' && Number(each.effect?.getComputedTiming().duration) > 0)
          .length,
    )
    expect(moving).toBe(0)
    await card('long.mp4').getByRole('button', { name: 'Stop' }).click()
    await inState('long.mp4', 'stopped').waitFor()
  })

  it('fits a phone of 360 px in every state', async () => {
    await open({ viewport: { width: 360, height: 740 } })
    const scrolls = (): Promise<number> =>
      page.evaluate(() => (document.scrollingElement?.scrollWidth ?? 0) - document.documentElement.clientWidth)
    expect(await scrolls()).toBe(0)
    await choose(
      long,
      await clips.write('a letter with a name that is a good deal longer than any phone is wide.txt', 'x'),
    )
    await atLeast('long.mp4', 20)
    expect(await scrolls()).toBe(0)
    await card('long.mp4').getByRole('button', { name: 'Stop' }).click()
    await inState('long.mp4', 'stopped').waitFor()
    expect(await scrolls()).toBe(0)
    expect(await barriers(page)).toStrictEqual([])
    await page.screenshot({ path: `${pictures}/phone-360.png`, fullPage: true })
  })

  it.each(['light', 'dark'] as const)('is drawn in %s', async (colorScheme) => {
    await open({ colorScheme })
    await page.locator('.node').first().waitFor()
    const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor)
    const [red = 0] = /\d+/.exec(background) ?? []
    expect(Number(red) > 128).toBe(colorScheme === 'light')
    await page.screenshot({ path: `${pictures}/empty-${colorScheme}.png`, fullPage: true })
    expect(await barriers(page)).toStrictEqual([])
    await choose(existsSync(realClip) ? realClip : clips.paths.end)
    await page.locator('.card[data-state=done]').waitFor()
    await page.screenshot({ path: `${pictures}/done-${colorScheme}.png`, fullPage: true })
    expect(await barriers(page)).toStrictEqual([])
  })
})
