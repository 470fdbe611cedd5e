/** What programs need to run at all. Everything else of our environment stays with us: it may hold secrets. */
const names = ['PATH', 'HOME', 'TMPDIR', 'FFMPEG_PATH', 'TZ']
const namesOfWindows = ['SystemRoot', 'TEMP', 'TMP', 'USERPROFILE', 'PATHEXT', 'ComSpec', 'APPDATA', 'LOCALAPPDATA']

/** The environment of a runner: the few names that every program needs, and those that the pool's owner listed. */
export function runnerEnv(listed: readonly string[]): Record<string, string> {
  const env: Record<string, string> = {}
  for (const name of [...names, ...(process.platform === 'win32' ? namesOfWindows : []), ...listed]) {
    const value = process.env[name]
    if (value !== undefined) env[name] = value
  }
  return env
}
