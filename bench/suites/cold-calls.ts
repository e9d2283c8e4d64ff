/** Cold calls and what they say of themselves. */
import type { Connection } from '../load/connection.ts';

export interface Call {
  clientMs: number;
  /** False when a call to Hearth found an instance after all. */
  cold: boolean;
  /** Server-timing of Hearth, ms. */
  phases: Record<string, number>;
}

export const PHASES = ['wait', 'acquire', 'transfer', 'compile', 'evaluate', 'run'];

/** One call, timed by the client from the write of the request to the last byte of the answer. */
export async function callOnce(connection: Connection, path: string): Promise<Call> {
  const begun = performance.now();
  const answer = await connection.get(path);
  const clientMs = performance.now() - begun;
  if (answer.status !== 200) throw new Error(`${path} answered ${answer.status}: ${answer.body}`);
  return {
    clientMs,
    cold: answer.headers.get('hearth-start') !== 'warm',
    phases: readServerTiming(answer.headers.get('server-timing') ?? ''),
  };
}

export function readServerTiming(text: string): Record<string, number> {
  return Object.fromEntries([...text.matchAll(/([a-z]+);dur=([\d.]+)/g)].map(([, phase, ms]) => [phase, Number(ms)]));
}

export function phaseSum({ phases }: Pick<Call, 'phases'>): number {
  return PHASES.reduce((sum, phase) => sum + (phases[phase] ?? 0), 0);
}

/** Whether the phases account for what the client saw: within 10 % or 0.3 ms of it. */
export function addsUp(call: Pick<Call, 'clientMs' | 'phases'>): boolean {
  return Math.abs(call.clientMs - phaseSum(call)) <= Math.max(0.3, call.clientMs / 10);
}
