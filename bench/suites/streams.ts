/** Large bodies that stream, with a reader as quick as it can be and with a slow one; how much memory that takes. */
import { request } from 'node:http';
import { scheduler } from 'node:timers/promises';
import { rssBytes } from '../load/proc.ts';
import { type HearthPeer, poolOf, startHearth } from '../peers/hearth.ts';

const CHUNK_BYTES = 64 * 1024;
const MB = 1024 * 1024;
/** Bytes a second of a slow reader, on either side. */
const SLOW_BYTES_PER_SECOND = 20 * MB;

/** `/down/MB` gives so much; `/up` counts what comes, and `/up/slow` takes its time over it. */
const SOURCE = `const chunk = new Uint8Array(${CHUNK_BYTES}).fill(120);
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export default {
  async fetch(request) {
    const [, what, how] = new URL(request.url).pathname.split('/');
    if (what === 'down') {
      let left = Number(how) * ${MB} / chunk.length;
      return new Response(new ReadableStream({
        pull(controller) {
          if (left-- <= 0) controller.close();
          else controller.enqueue(chunk.slice());
        },
      }));
    }
    const begun = Date.now();
    let bytes = 0;
    for await (const part of request.body) {
      bytes += part.length;
      const due = begun + bytes / ${SLOW_BYTES_PER_SECOND} * 1000;
      if (how === 'slow' && due - Date.now() > 1) await wait(due - Date.now());
    }
    return new Response(String(bytes));
  },
};`;

interface Memory {
  before: number;
  most: number;
}

export interface Streamed {
  kind: string;
  seconds: number;
  /** RSS, bytes. */
  gateway: Memory;
  /** All hosts together. */
  hosts: Memory;
}

export async function streams(megabytes: number): Promise<Streamed[]> {
  await using hearth = await startHearth({
    source: SOURCE,
    manifest: { hearth: { timeoutMs: 300_000 } },
    env: { HEARTH_MAX_BODY_MB: String(megabytes + 1), HEARTH_WARM_BASES: '1' },
  });
  const down = (bytesPerSecond: number) => download(hearth, megabytes, bytesPerSecond);
  const up = (path: string) => upload(hearth, megabytes, path);
  const found: Streamed[] = [];
  await down(Number.POSITIVE_INFINITY);
  found.push(await watched('down', hearth, () => down(Number.POSITIVE_INFINITY)));
  found.push(await watched('down, slow reader', hearth, () => down(SLOW_BYTES_PER_SECOND)));
  await up('/up');
  found.push(await watched('up', hearth, () => up('/up')));
  found.push(await watched('up, slow reader', hearth, () => up('/up/slow')));
  return found;
}

function download({ port, path }: HearthPeer, megabytes: number, bytesPerSecond: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const sent = request({ port, host: '127.0.0.1', path: `${path}/down/${megabytes}` }, (answer) => {
      read(answer).then(resolve, reject);
    });
    sent.on('error', reject);
    sent.end();
  });

  async function read(answer: AsyncIterable<Buffer>): Promise<void> {
    const begun = performance.now();
    let bytes = 0;
    for await (const chunk of answer) {
      bytes += chunk.length;
      const early = begun + (bytes / bytesPerSecond) * 1000 - performance.now();
      if (early > 1) await scheduler.wait(early);
    }
    if (bytes !== megabytes * MB) throw new Error(`${megabytes * MB} bytes were expected, ${bytes} came`);
  }
}

function upload({ port, path }: HearthPeer, megabytes: number, kind: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const chunk = Buffer.alloc(CHUNK_BYTES, 'x');
    let left = (megabytes * MB) / CHUNK_BYTES;
    const sent = request({ port, host: '127.0.0.1', path: `${path}${kind}`, method: 'POST' }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      answer.on('end', () => {
        if (answer.statusCode === 200 && text === String(megabytes * MB)) resolve();
        else reject(new Error(`the upload was answered with ${answer.statusCode}: ${text}`));
      });
    });
    sent.on('error', reject);
    const write = () => {
      while (left > 0) {
        left -= 1;
        if (!sent.write(chunk)) {
          sent.once('drain', write);
          return;
        }
      }
      sent.end();
    };
    write();
  });
}

const SAMPLE_MS = 50;

async function watched(kind: string, hearth: HearthPeer, work: () => Promise<void>): Promise<Streamed> {
  const pids = (await poolOf(hearth.gateway)).hosts.flatMap(({ pid }) => (pid === null ? [] : [pid]));
  const hosts = () => pids.reduce((sum, pid) => sum + (rssBytes(pid) ?? 0), 0);
  const gateway = () => rssBytes(hearth.pid) ?? 0;
  const seen: Omit<Streamed, 'kind' | 'seconds'> = {
    gateway: { before: gateway(), most: gateway() },
    hosts: { before: hosts(), most: hosts() },
  };
  const timer = setInterval(() => {
    seen.gateway.most = Math.max(seen.gateway.most, gateway());
    seen.hosts.most = Math.max(seen.hosts.most, hosts());
  }, SAMPLE_MS);
  const begun = performance.now();
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return { kind, seconds: (performance.now() - begun) / 1000, ...seen };
}
