import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { writtenPages } from './written-pages.ts'

/** `npm run docs`: writes what is made from definitions into docs/, and says what has changed. */
for (const page of await writtenPages()) {
  if (page.current === page.text) continue
  const path = fileURLToPath(page.url)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, page.text)
  console.log(`wrote ${page.path}`)
}
