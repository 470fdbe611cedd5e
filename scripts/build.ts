import { execFile } from 'node:child_process'
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { build } from 'rolldown'
import type { PackageJson } from './package-json.ts'
import { millracePackage, readPackage, sdkPackage } from './package-json.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

/**
 * Builds the packages that are published, since Node strips no types below `node_modules`: `millrace` with declarations,
 * and `millrace-sdk`, one module without dependencies for browsers and Node. `npm publish dist/millrace` publishes the first.
 * Writes into `folder` only, which it empties before.
 */
export async function buildPackages(folder: string): Promise<{ readonly millrace: string; readonly sdk: string }> {
  const millrace = join(folder, 'millrace')
  const sdk = join(folder, 'sdk')
  await rm(folder, { recursive: true, force: true })
  await mkdir(sdk, { recursive: true })
  const own = await readPackage(join(root, 'package.json'))
  await Promise.all([compile(millrace), bundleSdk(join(sdk, 'index.js'))])
  await writePackage(millrace, millracePackage(own))
  await Promise.all(
    ['bin', 'docs', 'README.md', 'LICENSE'].map((each) =>
      cp(join(root, each), join(millrace, each), { recursive: true }),
    ),
  )
  await copyAssets('demos', millrace)
  await copyDeclarations(join(millrace, 'sdk/index.d.ts'), millrace, join(sdk, 'types'))
  await writePackage(sdk, sdkPackage(own))
  await Promise.all([
    cp(join(root, 'LICENSE'), join(sdk, 'LICENSE')),
    cp(join(root, 'docs/sdk.md'), join(sdk, 'README.md')),
  ])
  return { millrace, sdk }
}

/** Compiles the sources with the repository's own compiler. Throws with the compiler's words. */
async function compile(into: string): Promise<void> {
  const require = createRequire(import.meta.url)
  const compiler = join(dirname(require.resolve('typescript/package.json')), 'bin/tsc')
  const options = [compiler, '--project', join(root, 'tsconfig.build.json'), '--outDir', into]
  try {
    await promisify(execFile)(process.execPath, options, { cwd: root, timeout: 120_000 })
  } catch (thrown) {
    const said = typeof thrown === 'object' && thrown !== null && 'stdout' in thrown ? String(thrown.stdout) : ''
    throw new Error(`the sources do not compile:\n${said || String(thrown)}`)
  }
}

async function bundleSdk(file: string): Promise<void> {
  await build({
    input: join(root, 'sdk/index.ts'),
    platform: 'browser',
    logLevel: 'warn',
    output: { file, format: 'esm' },
  })
}

/** What pages and documents are made of besides modules: HTML, styles, pictures, workflows. */
async function copyAssets(from: string, into: string): Promise<void> {
  for (const entry of await readdir(join(root, from), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name.endsWith('.ts')) continue
    const file = join(entry.parentPath, entry.name)
    await cp(file, join(into, relative(root, file)))
  }
}

/** Copies a declaration file and those that it imports, at their places. A package without dependencies imports nothing else. */
async function copyDeclarations(first: string, from: string, into: string): Promise<void> {
  const open = [first]
  const done = new Set<string>()
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    if (done.has(file)) continue
    done.add(file)
    const text = await readFile(file, 'utf8')
    for (const [, name = ''] of text.matchAll(/(?:from|import\()\s*['"]([^'"]+)['"]/g)) {
      if (!name.startsWith('.'))
        throw new Error(`the types of the SDK need ${name} in ${relative(from, file)}; they may need nothing`)
      open.push(resolve(dirname(file), name.replace(/\.(?:js|ts)$/, '.d.ts')))
    }
    await mkdir(dirname(join(into, relative(from, file))), { recursive: true })
    await writeFile(join(into, relative(from, file)), text)
  }
}

async function writePackage(folder: string, about: PackageJson): Promise<void> {
  await writeFile(join(folder, 'package.json'), `${JSON.stringify(about, null, 2)}\n`)
}

if (process.argv[1] !== undefined && basename(process.argv[1]) === 'build.ts') {
  const { millrace, sdk } = await buildPackages(resolve(process.argv[2] ?? join(root, 'dist')))
  console.log(`built ${millrace}\nbuilt ${sdk}`)
}
