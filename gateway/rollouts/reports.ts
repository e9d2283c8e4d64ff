/**
 * What the gateways that do not lead have counted, for the one that does: so that a step is judged by the calls of all of
 * them. Each writes what has come since its last report; the leading one adds it to its own and removes it. A report that
 * is lost, or comes after its step, is a few calls that are not counted.
 */
import type { KvStore } from '../store/api/kv.ts';
import type { RolloutRecord } from '../store/api/rollouts.ts';
import type { Window, WindowReport } from './windows.ts';

export interface Reports {
  /** Of what was counted here; the windows are empty afterwards. Throws NO_CAPACITY: then they are as they were. */
  send(record: RolloutRecord, windows: ReadonlyMap<string, Window>): Promise<void>;
  /** Adds what others have sent of this step. Throws NO_CAPACITY. */
  collect(record: () => RolloutRecord, windows: ReadonlyMap<string, Window>): Promise<void>;
}

export interface ReportsParts {
  kv: Pick<KvStore, 'put' | 'list' | 'get' | 'delete'>;
  /** Id of this gateway. */
  owner: string;
  /** Epoch ms. */
  now(): number;
}

interface Report {
  step: number;
  /** By function. */
  windows: Record<string, WindowReport>;
}

/** No function can have one of this name. */
const NAMESPACE = ':rollouts';
const KEPT_S = 60;
const MOST = 100;

export function createReports({ kv, owner, now }: ReportsParts): Reports {
  let sent = 0;

  return {
    async send({ id, step }, windows) {
      const taken = new Map<Window, WindowReport>();
      const report: Report = { step, windows: {} };
      for (const [name, window] of windows) {
        const counted = window.take();
        if (counted === null) continue;
        taken.set(window, counted);
        report.windows[name] = counted;
      }
      if (taken.size === 0) return;
      const value = Buffer.from(JSON.stringify(report));
      const expiration = Math.ceil(now() / 1000) + KEPT_S;
      try {
        await kv.put(NAMESPACE, `${id}/${owner}/${sent++}`, { value, metadata: null, expiration });
      } catch (error) {
        for (const [window, counted] of taken) window.absorb(counted);
        throw error;
      }
    },
    async collect(record, windows) {
      const prefix = `${record().id}/`;
      const { keys } = await kv.list(NAMESPACE, { prefix, limit: MOST, cursor: null, nowMs: now() });
      for (const { name } of keys) {
        const entry = await kv.get(NAMESPACE, name, now());
        await kv.delete(NAMESPACE, name);
        if (entry === null) continue;
        const report = JSON.parse(Buffer.from(entry.value).toString()) as Report;
        if (report.step !== record().step) continue;
        for (const [of, counted] of Object.entries(report.windows)) windows.get(of)?.absorb(counted);
      }
    },
  };
}
