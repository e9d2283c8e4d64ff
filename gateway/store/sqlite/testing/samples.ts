/** What the tests of the SQLite store share. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NewMessage } from '../../api/queues.ts';
import type { Sync } from '../protocol.ts';

/** A test body with a directory of its own that is removed afterwards, also when it fails. */
export function withDir(body: (dir: string) => void | Promise<void>): () => Promise<void> {
  return async () => {
    const dir = mkdtempSync(join(tmpdir(), 'hearth-sqlite-'));
    try {
      await body(dir);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  };
}

export function messageOf(id: string, bytes = 10): NewMessage {
  return {
    id,
    body: new Uint8Array(bytes).fill(65),
    contentType: 'text',
    delayS: 0,
    traceparent: null,
    hops: 0,
  };
}

/** A log that keeps its lines. */
export function memoryLog() {
  const lines: string[] = [];
  const keep = (message: string) => void lines.push(message);
  return { lines, warn: keep, error: keep };
}

/** A part of the store itself, without the thread it lives in. */
export function later<Domain extends object>(domain: Sync<Domain>): Domain {
  const methods = Object.entries(domain).map(([name, method]) => [
    name,
    async (...args: unknown[]) => (method as (...args: unknown[]) => unknown)(...args),
  ]);
  return Object.fromEntries(methods) as Domain;
}
