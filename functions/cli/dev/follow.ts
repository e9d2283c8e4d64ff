/** What a function does while it is worked on: its requests and its log, as they come. */
import { setTimeout as wait } from 'node:timers/promises';
import { type Client, segment } from '../client.ts';
import { ApiFailure, Failure } from '../failure.ts';
import type { LogLine } from '../log-line.ts';

/** As the gateway tells it: telemetry/call-feed.ts. */
export interface Call {
  time: string;
  invocationId: string;
  version: string;
  trigger: string;
  what: string;
  status: number | null;
  start: 'cold' | 'warm' | null;
  durationMs: number;
  error: string | null;
}

export interface Follower {
  /** What comes from now on is told. */
  opened(): void;
  line(line: LogLine): Promise<void>;
  call(call: Call): void;
}

const AGAIN_MS = 500;

/** Until the signal is aborted. A gateway that goes away is asked again. */
export async function follow(
  client: Client,
  name: string,
  { opened, line, call }: Follower,
  signal: AbortSignal,
): Promise<void> {
  const path = `/v1/functions/${segment(name)}/logs`;
  // What was there before is of no interest.
  const query = { follow: 'true', calls: 'true', limit: '0' };
  while (!signal.aborted) {
    try {
      for await (const { event, data } of client.events(path, query, { signal, opened })) {
        if (event === 'line') await line(JSON.parse(data) as LogLine);
        else if (event === 'call') call(JSON.parse(data) as Call);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiFailure || !(error instanceof Failure || isReset(error))) throw error;
    }
    await wait(AGAIN_MS, undefined, { signal }).catch(() => undefined);
  }
}

function isReset(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ECONNRESET';
}
