/**
 * The queues that ours is compared with, each as its own documentation sets it up for one job at a time and a number of hands. They
 * are installed into a folder of their own, so that the project does not depend on them.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { freePort } from '../../tools/server-folder.ts'
import { cost } from './measure.ts'

/** A queue to be measured. `work` is called once for each job that was put. */
export interface Queue extends AsyncDisposable {
  put(names: readonly string[]): Promise<void>
  /** Begins to work; the returned function ends it. `latency`: few jobs come, and are to start soon. */
  work(handle: (name: string) => Promise<void>, latency: boolean): Promise<() => Promise<void>>
}

/** Installs packages from the npm registry; null, when that can't be reached. */
export async function installPeers(
  folder: string,
  packages: readonly string[],
): Promise<((name: string) => Promise<unknown>) | null> {
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'package.json'), '{"private":true}')
  try {
    await cost(`npm install --ignore-scripts --no-audit --no-fund ${packages.join(' ')}`, folder)
  } catch {
    return null
  }
  const { resolve } = createRequire(join(folder, 'package.json'))
  return async (name) => await import(pathToFileURL(resolve(name)).href)
}

interface PgBossModule {
  readonly PgBoss: new (options: object) => PgBoss
}
interface PgBoss {
  on(event: 'error', listener: (error: unknown) => void): void
  start(): Promise<unknown>
  stop(options: object): Promise<void>
  createQueue(name: string, options: object): Promise<void>
  send(name: string, payload: object): Promise<unknown>
  work(name: string, options: object, handle: (jobs: readonly PgBossJob[]) => Promise<unknown>): Promise<string>
  offWork(name: string, options: object): Promise<void>
  fetch(name: string): Promise<readonly PgBossJob[]>
  complete(name: string, id: string): Promise<unknown>
}
interface PgBossJob {
  readonly id: string
  readonly data: { readonly name: string }
}

/**
 * pg-boss with listen and notify. `together`: its worker fetches as many jobs as there are hands, and ends them at once when all are done;
 * else each hand fetches one job and ends it, as ours do.
 */
export async function pgBoss(module: unknown, url: string, hands: number, together: boolean): Promise<Queue> {
  const { PgBoss } = module as PgBossModule
  const boss = new PgBoss({ connectionString: url, max: hands + 2, useListenNotify: true, schedule: false })
  boss.on('error', (error) => console.error('pg-boss:', error))
  await boss.start()
  await boss.createQueue('jobs', { notify: true })
  return {
    put: async (names) => {
      for (const name of names) await boss.send('jobs', { name })
    },
    work: async (handle, latency) => {
      if (together || latency) {
        const one = { batchSize: 1, localConcurrency: hands }
        const all = { batchSize: hands, burstWhenBatchFull: true }
        await boss.work('jobs', { ...(latency ? one : all), pollingIntervalSeconds: 0.5 }, (jobs) =>
          Promise.all(jobs.map(({ data }) => handle(data.name))),
        )
        return () => boss.offWork('jobs', { wait: true })
      }
      let ended = false
      const hand = async () => {
        while (!ended)
          for (const { id, data } of await boss.fetch('jobs')) {
            await handle(data.name)
            await boss.complete('jobs', id)
          }
      }
      const working = Array.from({ length: hands }, hand)
      return async () => {
        ended = true
        await Promise.all(working)
      }
    },
    [Symbol.asyncDispose]: () => boss.stop({ graceful: false, close: true }),
  }
}

interface BullModule {
  readonly Queue: new (
    name: string,
    options: object,
  ) => { add(name: string, payload: object, options: object): Promise<unknown>; close(): Promise<void> }
  readonly Worker: new (
    name: string,
    handle: (job: { name: string }) => Promise<void>,
    options: object,
  ) => { close(): Promise<void>; waitUntilReady(): Promise<unknown> }
}

/** BullMQ on a Redis that has every job on its disk before it answers. */
export async function bullmq(module: unknown, port: number, hands: number): Promise<Queue> {
  const { Queue, Worker } = module as BullModule
  const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null }
  const queue = new Queue('jobs', { connection })
  return {
    put: async (names) => {
      for (const name of names) await queue.add(name, {}, { removeOnComplete: 20 })
    },
    work: async (handle) => {
      const worker = new Worker('jobs', ({ name }) => handle(name), { connection, concurrency: hands })
      await worker.waitUntilReady()
      return () => worker.close()
    },
    [Symbol.asyncDispose]: () => queue.close(),
  }
}

/** A Redis of our own; null, where there is none. */
export async function startRedis(folder: string): Promise<(AsyncDisposable & { readonly port: number }) | null> {
  await mkdir(folder, { recursive: true })
  const port = await freePort()
  const child: ChildProcess = spawn(
    'redis-server',
    ['--port', String(port), '--dir', folder, '--appendonly', 'yes', '--appendfsync', 'always', '--save', ''],
    { stdio: 'ignore' },
  )
  const failed = new Promise<'failed'>((resolve) => child.once('error', () => resolve('failed')))
  if ((await Promise.race([failed, sleep(1000, 'running')])) === 'failed') return null
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      child.kill()
      if (child.exitCode === null) await once(child, 'exit')
    },
  }
}
