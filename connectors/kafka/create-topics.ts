import type { ConnectionOptions, Driver } from './driver.ts'

/** Creates those topics that are not there. */
export async function createTopics(
  driver: Driver,
  connection: ConnectionOptions,
  topics: readonly string[],
  form: { readonly partitions: number; readonly replicas: number },
): Promise<void> {
  const admin = await driver.openAdmin(connection)
  try {
    await admin.createTopics(topics.map((topic) => ({ topic, ...form, settings: {} })))
  } finally {
    await admin.close()
  }
}
