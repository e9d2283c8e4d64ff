/**
 * What anybody has changed, read from the streams that the scripts write (script.ts), on a connection of its own that waits
 * in Redis. Entries are numbered without a gap, so that it is known when some were trimmed before they were read; and
 * where another Redis answers than before (a restart, a failover), what was read may have been undone: then everything
 * may have changed.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '../../telemetry/log.ts';
import type { Change, ChangeFeed } from '../api/changes.ts';
import type { Connection, Reply } from './connection.ts';
import { asList, asText, inTuples } from './reply.ts';
import { type Database, PREFIX } from './script.ts';

/** So long one reading waits for something new. */
export const BLOCK_MS = 2_000;
const MOST_READ = 500;
const RETRY_MS = 100;

const STREAMS = ['changes', 'wakes'] as const;
type Stream = (typeof STREAMS)[number];

/** Numbers of the last entries. */
export type Position = Record<Stream, number>;

export interface Feed extends Pick<ChangeFeed, 'listen'> {
  close(): void;
}

interface FeedParts {
  /** Opened here, with the first listener. */
  connection: Connection;
  /** Where it begins: when the store was opened, so that nothing is missed between reading and listening. */
  from: Position;
  log: Pick<Logger, 'error'>;
}

export async function positionNow(command: Connection['command']): Promise<Position> {
  const counts = asList(await command('MGET', ...STREAMS.map((stream) => `${PREFIX}${stream}-made`)));
  const [changes, wakes] = counts.map((count) => (count === null ? 0 : Number(asText(count))));
  return { changes: changes ?? 0, wakes: wakes ?? 0 };
}

/** See ChangeFeed. */
export async function revisionsNow(db: Database): Promise<Map<string, string>> {
  const pairs = inTuples(asList(await db.call('HGETALL', 'revisions')), 2);
  return new Map(pairs.map(([name, revision]) => [asText(name), asText(revision)]));
}

/** See ChangeFeed. */
export async function changesSince(
  db: Database,
  position: number,
): Promise<{ changes: Change[] | null; position: number }> {
  const [made, entries] = await Promise.all([
    db.call('GET', 'changes-made'),
    db.call('XRANGE', 'changes', `(${position}-0`, '+'),
  ]);
  const read = asList(entries).map(entryOf);
  const last = read.at(-1)?.number ?? (made === null ? 0 : Number(asText(made)));
  const whole = read.length === 0 ? last === position : read[0]?.number === position + 1;
  return { changes: whole ? read.map(({ change }) => change) : null, position: last };
}

export function createFeed({ connection, from, log }: FeedParts): Feed {
  const listeners = new Set<(changes: Change[] | null) => void>();
  const ending = new AbortController();
  const { signal } = ending;
  let at = from;
  let server: string | null = null;
  let following = false;

  function tell(changes: Change[] | null): void {
    for (const listener of listeners) {
      try {
        listener(changes);
      } catch (error) {
        log.error('A listener to the changes of the store failed.', { error });
      }
    }
  }

  async function read(): Promise<void> {
    const reply = await connection.command(
      'XREAD',
      'COUNT',
      MOST_READ,
      'BLOCK',
      BLOCK_MS,
      'STREAMS',
      ...STREAMS.map((stream) => PREFIX + stream),
      ...STREAMS.map((stream) => `${at[stream]}-0`),
    );
    if (reply === null) return;
    const changes: Change[] = [];
    let missed = false;
    for (const part of asList(reply)) {
      const [key, entries] = asList(part);
      const stream: Stream = asText(key) === `${PREFIX}changes` ? 'changes' : 'wakes';
      for (const { number, change } of asList(entries).map(entryOf)) {
        if (number !== at[stream] + 1) {
          if (stream === 'changes') missed = true;
          else changes.push({ kind: 'messages', name: '' });
        }
        at[stream] = number;
        changes.push(change);
      }
    }
    if (missed) tell(null);
    if (!missed || changes.some(({ kind }) => kind === 'messages')) tell(changes);
  }

  /** After each loss of the connection: whether what was read before still holds. */
  async function sameServer(): Promise<boolean> {
    const position = await positionNow(connection.command);
    if (position.changes < at.changes) return false;
    const info = asText(await connection.command('INFO', 'server'));
    const id = /^run_id:(\w+)/m.exec(info)?.[1] ?? '';
    const same = server === null || server === id;
    server = id;
    return same;
  }

  async function follow(): Promise<void> {
    let known = false;
    while (!signal.aborted) {
      try {
        if (!known) {
          if (!(await sameServer())) {
            at = await positionNow(connection.command);
            tell(null);
          }
          known = true;
        }
        await read();
      } catch {
        // The store's own connection says in the log that Redis is away, and when it is back.
        known = false;
        await pause(RETRY_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  return {
    listen(changed) {
      const listener = (changes: Change[] | null) => changed(changes);
      listeners.add(listener);
      if (!following && !signal.aborted) {
        following = true;
        connection.begin();
        follow().catch((error: unknown) => log.error('The changes of the store are no longer followed.', { error }));
      }
      return () => void listeners.delete(listener);
    },
    close() {
      ending.abort();
      listeners.clear();
      connection.close();
    },
  };
}

function entryOf(reply: Reply): { number: number; change: Change } {
  const [id, fields] = asList(reply);
  const [kind, name] = asList(fields);
  return {
    number: Number.parseInt(asText(id), 10),
    change: { kind: asText(kind) as Change['kind'], name: asText(name) },
  };
}
