import { readFile } from 'node:fs/promises'
import { z } from 'zod'

const packageJson = z.object({
  name: z.string(),
  version: z.string(),
  description: z.string(),
  license: z.string(),
  type: z.string(),
  engines: z.record(z.string(), z.string()),
  bin: z.record(z.string(), z.string()).optional(),
  exports: z.record(z.string(), z.union([z.string(), z.record(z.string(), z.string())])),
  dependencies: z.record(z.string(), z.string()).optional(),
  optionalDependencies: z.record(z.string(), z.string()).optional(),
})

export type PackageJson = z.infer<typeof packageJson>

/** What a package says of itself, as far as a built package says the same. Throws where something is missing. */
export async function readPackage(file: string): Promise<PackageJson> {
  return packageJson.parse(JSON.parse(await readFile(file, 'utf8')))
}

/** The repository's package.json exports its TypeScript sources, for whoever works in a clone; the built one their JavaScript. */
export function millracePackage(own: PackageJson): PackageJson {
  const exports = Object.entries(own.exports).map(([name, target]) =>
    typeof target === 'string' && target.endsWith('.ts')
      ? [name, builtOf(target.slice(0, -'.ts'.length))]
      : [name, target],
  )
  return { ...own, exports: Object.fromEntries(exports) }
}

/** The SDK needs nothing but what browsers and Node have. */
export function sdkPackage(own: PackageJson): PackageJson {
  return {
    name: 'millrace-sdk',
    version: own.version,
    description: 'Topics, uploads and executions of a Millrace server, for browsers and Node',
    license: own.license,
    type: 'module',
    engines: { node: '>=22' },
    exports: {
      '.': { types: './types/sdk/index.d.ts', default: './index.js' },
      './package.json': './package.json',
    },
  }
}

function builtOf(path: string): { readonly types: string; readonly default: string } {
  return { types: `${path}.d.ts`, default: `${path}.js` }
}
