/**
 * One tick of a cron, from top to bottom: sleep until one is due, load its function ahead, claim the due time, and begin
 * the run, or do what the store answers instead.
 */
import { CRON_KEEP_MS } from '../../../pool/keeper/policy/prewarm.ts';
import type { CronClaim, CronClaimed } from '../../store/api/crons.ts';
import type { CronParts } from './crons.ts';
import { type CronsState, type Entry, loadAt, stepAt } from './entry.ts';
import { IN_TIME_MS, nextStep, sleepMs } from './plan.ts';
import { type CronRun, LEASE_MS, STORE_RETRY_MS } from './runs.ts';

export interface TickParts extends Omit<CronParts, 'changes' | 'dispatcher'> {
  entries: ReadonlyMap<string, Entry>;
  state(): CronsState;
  /** Starts something whose failure has no one else to tell. */
  track(what: string, work: Promise<void>): void;
  begin(entry: Entry, run: CronRun, leaseUntil: number): void;
  /** The store has no such cron: what is published is to be looked at again. */
  gone(functionName: string): void;
}

export interface Ticks {
  /** Sleeps until the next one is due. */
  arm(): void;
  disarm(): void;
  /** Claims what is due. */
  wake(): void;
  /** Once for all that ends in one turn of the loop: each look goes through all crons. */
  wakeSoon(): void;
}

/** How often a run of another gateway is looked at whose end is waited for. */
const LOOK_MS = 1_000;
/** Claims of one call to the store: a thousand at once would keep others from it for too long. */
const MOST_CLAIMS = 250;

export function createTicks(parts: TickParts): Ticks {
  const { store, owner, registry, keeper, now, timers, newId, log, entries, state, track, begin, gone } = parts;
  let disarm: () => void = () => undefined;
  let waking = false;

  function arm(): void {
    disarm();
    if (state() !== 'firing') return;
    let earliest: number | null = null;
    for (const entry of entries.values()) {
      const at = stepAt(entry);
      if (at === null) continue;
      const first = Math.min(at, loadAt(entry) ?? at);
      if (earliest === null || first < earliest) earliest = first;
    }
    disarm = timers.after(sleepMs(earliest, now()), wake);
  }

  /** Loads ahead what is due soon. */
  function prewarm(entry: Entry, nowMs: number): void {
    const { record } = entry;
    const at = loadAt(entry);
    if (at === null || at > nowMs) return;
    entry.prewarmedFor = record.nextAt;
    const active = registry.function(record.functionName)?.active;
    if (active !== undefined && (record.nextAt ?? 0) > nowMs) keeper.prewarm(active.spec, CRON_KEEP_MS);
  }

  function wake(): void {
    waking = false;
    if (state() !== 'firing') return;
    const nowMs = now();
    let due: Entry[] = [];
    for (const entry of entries.values()) {
      const at = stepAt(entry);
      if (at === null) continue;
      prewarm(entry, nowMs);
      if (at > nowMs) continue;
      due.push(entry);
      if (due.length < MOST_CLAIMS) continue;
      track('claim', step(due, nowMs));
      due = [];
    }
    if (due.length > 0) track('claim', step(due, nowMs));
    arm();
  }

  function wakeSoon(): void {
    if (waking) return;
    waking = true;
    queueMicrotask(wake);
  }

  /** One step of each. */
  async function step(due: Entry[], nowMs: number): Promise<void> {
    const asked: { entry: Entry; claim: CronClaim }[] = [];
    for (const entry of due) {
      entry.lookAt = null;
      const claim = claimOf(entry, nowMs);
      if (claim === null) continue;
      entry.asked = true;
      asked.push({ entry, claim });
    }
    if (asked.length === 0) return;
    const leaseUntil = nowMs + LEASE_MS;
    let answers: CronClaimed[];
    try {
      answers = await store.claim(
        asked.map(({ claim }) => claim),
        owner,
        leaseUntil,
      );
    } catch (error) {
      log.error('Crons were not fired: the store failed; it is tried again.', { crons: asked.length, error });
      for (const { entry } of asked) {
        entry.asked = false;
        entry.lookAt = now() + STORE_RETRY_MS;
      }
      arm();
      return;
    }
    for (const [i, { entry, claim }] of asked.entries()) {
      entry.asked = false;
      const answer = answers[i];
      if (answer !== undefined) apply(entry, claim, answer, leaseUntil);
    }
    wakeSoon();
  }

  /** Null when there is nothing to claim now. */
  function claimOf(entry: Entry, nowMs: number): CronClaim | null {
    const { record, progress } = entry;
    const around = entry.elsewhere ? { ...progress, running: progress.running + 1 } : progress;
    const next = nextStep(record, around, nowMs, entry.schedule.next);
    if (next.do === 'wait') {
      progress.held = false;
      progress.caughtUp = 0;
      return null;
    }
    if (next.do === 'hold') {
      progress.held = true;
      entry.elsewhere = false;
      // The end of a run of its own wakes it.
      if (progress.running === 0) entry.lookAt = nowMs + LOOK_MS;
      return null;
    }
    const why = next.do === 'skip' ? next.why : isPublished(entry) ? null : 'it was taken back';
    return {
      id: record.id,
      dueAt: next.dueAt,
      nextAt: next.nextAt,
      startedAt: nowMs,
      invocationId: newId(),
      skipped: why,
      alone: why === null && record.overlap !== 'allow',
    };
  }

  /** A tick may have had to wait for its turn while its cron was unpublished. */
  function isPublished({ record, cron }: Entry): boolean {
    return registry.crons(record.functionName).some((published) => published.cron === cron);
  }

  function apply(entry: Entry, claim: CronClaim, answer: CronClaimed, leaseUntil: number): void {
    const { record, progress } = entry;
    const { id, functionName } = record;
    switch (answer.state) {
      case 'busy':
        entry.elsewhere = true;
        return;
      case 'passed':
        // Another gateway was first, or it was paused there.
        record.nextAt = answer.nextAt;
        record.paused = answer.paused;
        entry.elsewhere = false;
        return;
      case 'gone':
        entry.lookAt = now() + STORE_RETRY_MS;
        gone(functionName);
        return;
      case 'claimed':
        break;
      default:
        answer satisfies never;
    }
    const { dueAt, startedAt, invocationId, skipped } = claim;
    record.nextAt = claim.nextAt;
    record.firedUntil = Math.max(record.firedUntil, dueAt, startedAt);
    entry.elsewhere = false;
    progress.held = false;
    const ended = { endedAt: startedAt, outcome: 'skipped', error: skipped } as const;
    const begun = { endedAt: null, outcome: 'running', error: null } as const;
    record.last = { dueAt, startedAt, attempts: 1, invocationId, ...(skipped === null ? begun : ended) };
    const lateMs = startedAt - dueAt;
    if (skipped !== null) {
      log.info('Cron tick skipped.', { cron: id, function: functionName, why: skipped, late_ms: lateMs });
      return;
    }
    if (lateMs > IN_TIME_MS) {
      const facts = { cron: id, function: functionName, invocation_id: invocationId };
      log.info('Cron tick fired late.', { ...facts, due_at: new Date(dueAt).toISOString(), late_ms: lateMs });
    }
    progress.caughtUp += 1;
    begin(entry, { id, functionName, cron: entry.cron, dueAt, invocationId, attempt: 1 }, leaseUntil);
  }

  return { arm, disarm: () => disarm(), wake, wakeSoon };
}
