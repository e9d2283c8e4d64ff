/**
 * Delivers one queue to its consumer.
 *
 *   due in the store ──claim──► gathered ──batch full, or waited long enough──► in flight ──verdicts──► settled
 *                         │        └──paused, drained, consumer gone──► given back, no attempt used
 *                         └──suspected of harm──► apart ──a batch of one──► in flight, beside nothing else
 *
 * Messages are claimed as soon as they are due and wait for the rest of their batch here, under a lease: so a full
 * batch goes out without asking the store again. Leases are short and lengthened while they are held, so that what a
 * killed gateway held comes back soon.
 */
import { toHearthError } from '../../../functions/contract/errors.ts';
import { MAX_HOPS } from '../../../functions/contract/limits.ts';
import type { ClaimedMessage, QueueSettings, QueueStore, Settlement } from '../../store/api/queues.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { Timers } from '../timers.ts';
import { batchLimit, dueAtOf, foundNoRoom, giveBack, restMs, settleByError } from './plan.ts';
import type { Receiver } from './receiver.ts';
import type { Slots } from './slots.ts';

/** A lease, and how often it is lengthened. */
export const LEASE_MS = 10_000;
export const EXTEND_EVERY_MS = 3_000;

/** Messages of one claim: at the largest, 12.5 MB. */
const CLAIM_MOST = 100;
/** Bodies held in memory for one queue before no more are claimed. */
const MOST_HELD_BYTES = 64 * 1024 * 1024;
const STORE_RETRY_MS = 1_000;
/** Other gateways have all batches that may be in flight: so soon it is asked again. */
const SLOT_RETRY_MS = 500;
/** Longest sleep, so that a clock that was set is noticed. */
const MOST_SLEEP_MS = 60_000;

export interface ConsumerParts {
  store: QueueStore;
  receiver: Receiver;
  settings(): QueueSettings;
  /** These messages went to this queue's dead letters. */
  died(deadLetterQueue: string): void;
  /** Epoch ms. */
  now(): number;
  timers: Timers;
  random(): number;
  log: Logger;
  owner: string;
  /** Where other gateways consume the same queue. */
  slots?: Slots | undefined;
}

type Limits = NonNullable<ReturnType<Receiver['limits']>>;

interface Batch {
  messages: ClaimedMessage[];
  /** Nothing else was in flight beside it so far. */
  alone: boolean;
}

export class QueueConsumer {
  private readonly queue: string;
  private readonly parts: ConsumerParts;
  private gathered: ClaimedMessage[] = [];
  /** Each of these is delivered by itself, before what is gathered: see settleByError. */
  private apart: ClaimedMessage[] = [];
  /** When what is gathered goes out though the batch is not full. */
  private deadline = Number.POSITIVE_INFINITY;
  /** Delivered and not yet settled: their leases are lengthened. */
  private readonly held = new Set<Batch>();
  /** All that is gathered or held, by id. */
  private readonly own = new Map<string, ClaimedMessage>();
  private heldBytes = 0;
  /** Batches the function works on. */
  private readonly inFlight = new Set<Batch>();
  /** The one in flight is a suspect. */
  private exclusive = false;
  private readonly work = new Set<Promise<void>>();
  private pumping = false;
  private again = false;
  private draining = false;
  /** No claims before: there was no room for a batch. */
  private restUntil = 0;
  private refusals = 0;
  /** Batches that this gateway may have in flight, of those that all may; see slots.ts. */
  private granted = Number.POSITIVE_INFINITY;
  private cancelTimer: () => void = () => undefined;

  constructor(queue: string, parts: ConsumerParts) {
    this.queue = queue;
    this.parts = parts;
  }

  /** Something may be due, or may be done now. Cheap to call. */
  wake(): void {
    if (this.pumping) {
      this.again = true;
      return;
    }
    this.pumping = true;
    this.track(this.pump());
  }

  /** Lengthens the leases of all that is held. */
  async extend(): Promise<void> {
    await this.parts.slots?.extend();
    const messages = [...this.apart, ...this.gathered, ...[...this.held].flatMap((batch) => batch.messages)];
    if (messages.length === 0) return;
    const { store, now } = this.parts;
    const kept = new Set(
      await store.extend(
        this.queue,
        messages.map(({ id, fence }) => ({ id, fence })),
        now() + LEASE_MS,
      ),
    );
    // Settled meanwhile, purged, or taken over after a long stall. What still waits here is not ours to deliver.
    const lost = new Set(messages.filter(({ id }) => !kept.has(id)));
    if (lost.size === 0) return;
    const stays = (message: ClaimedMessage) => !lost.has(message);
    const dropped = [...this.apart, ...this.gathered].filter((message) => !stays(message));
    this.apart = this.apart.filter(stays);
    this.gathered = this.gathered.filter(stays);
    this.forget(dropped);
  }

  /** Claims no more and gives back what was not delivered; resolves when batches in flight are settled. */
  async drain(): Promise<void> {
    this.draining = true;
    this.wake();
    while (this.work.size > 0) await Promise.all(this.work);
    this.cancelTimer();
  }

  private track(work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => this.parts.log.error('Queue delivery failed.', { queue: this.queue, error }))
      .finally(() => this.work.delete(tracked));
    this.work.add(tracked);
  }

  private async pump(): Promise<void> {
    let wakeAt: number | null = null;
    try {
      do {
        this.again = false;
        wakeAt = await this.round();
      } while (this.again);
    } catch (error) {
      this.parts.log.error('Queue could not be read; it is tried again.', { queue: this.queue, error });
      wakeAt = this.parts.now() + STORE_RETRY_MS;
    } finally {
      this.pumping = false;
    }
    this.sleepUntil(wakeAt);
  }

  private sleepUntil(wakeAt: number | null): void {
    this.cancelTimer();
    this.cancelTimer = () => undefined;
    if (wakeAt === null || this.draining) return;
    const ms = Math.min(Math.max(wakeAt - this.parts.now(), 0), MOST_SLEEP_MS);
    this.cancelTimer = this.parts.timers.after(ms, () => this.wake());
  }

  /** Of who takes messages now; null: nobody does. */
  private limits(): Limits | null {
    if (this.draining || this.parts.settings().paused) return null;
    return this.parts.receiver.limits();
  }

  /** Claims and delivers what can be. Returns when to look again; null: something will wake us. */
  private async round(): Promise<number | null> {
    const { store, now, owner } = this.parts;
    const before = this.limits();
    if (before === null) {
      await this.returnGathered();
      await this.leaveSlots();
      return null;
    }
    if (now() < this.restUntil) {
      await this.leaveSlots();
      return this.restUntil;
    }
    if (!(await this.takeSlot(before))) {
      await this.returnGathered();
      return now() + SLOT_RETRY_MS;
    }
    const most = this.room(before);
    if (most > 0) {
      const nowMs = now();
      const claimed = await store.claim(this.queue, { most, nowMs, leaseUntil: nowMs + LEASE_MS, owner });
      this.gather(claimed, nowMs);
      if (claimed.length === most) this.again = true;
    }
    // The consumer may have gone or been paused while the store was asked.
    const limits = this.limits();
    if (limits === null) {
      await this.returnGathered();
      await this.leaveSlots();
      return null;
    }
    // A batch may have been refused meanwhile.
    if (now() < this.restUntil) return this.restUntil;
    this.deliver(limits);
    if (this.again || this.apart.length > 0 || this.isFull(limits)) return null;
    const next = this.room(limits) > 0 ? await store.nextDue(this.queue) : null;
    await this.leaveSlots();
    if (this.gathered.length === 0) return next;
    return next === null ? this.deadline : Math.min(next, this.deadline);
  }

  /** One for the next batch, beside those in flight. False: there is none, and none is in flight. */
  private async takeSlot(limits: Limits): Promise<boolean> {
    await this.haveSlots(Math.min(this.inFlight.size + 1, batchLimit(this.parts.settings(), limits)));
    return this.granted > 0 || this.inFlight.size > 0;
  }

  /** What is not in flight, and not gathered for, is for other gateways. */
  private leaveSlots(): Promise<void> {
    return this.haveSlots(this.inFlight.size + Math.min(this.gathered.length, 1));
  }

  private async haveSlots(wanted: number): Promise<void> {
    const { slots, settings } = this.parts;
    const { maxConcurrency } = settings();
    const held = (await slots?.have(maxConcurrency === null ? 0 : wanted, maxConcurrency ?? 0)) ?? 0;
    this.granted = slots === undefined || maxConcurrency === null ? Number.POSITIVE_INFINITY : held;
  }

  private most(limits: Limits): number {
    return Math.min(batchLimit(this.parts.settings(), limits), this.granted);
  }

  /** Nothing may go out before something has come to its end. */
  private isFull(limits: Limits): boolean {
    const most = this.most(limits);
    // What was handled and is not settled yet is delivered once more if this process dies now: there is not much of it.
    return this.exclusive || this.inFlight.size >= most || this.held.size >= 2 * most;
  }

  /** Messages that may be claimed now. */
  private room(limits: Limits): number {
    if (this.heldBytes >= MOST_HELD_BYTES || this.apart.length > 0 || this.isFull(limits)) return 0;
    const settings = this.parts.settings();
    const batches = this.most(limits) - this.inFlight.size;
    return Math.min(CLAIM_MOST, batches * settings.maxBatchSize - this.gathered.length);
  }

  private gather(claimed: ClaimedMessage[], nowMs: number): void {
    for (const message of claimed) {
      if (this.isOurs(message)) continue;
      (message.kills === null ? this.gathered : this.apart).push(message);
      this.own.set(message.id, message);
      this.heldBytes += message.body.byteLength;
    }
    this.deadline = Math.min(this.deadline, this.deadlineOf(claimed, nowMs));
  }

  /**
   * True when a lease of ours had ended, because the machine slept or the loop stood still, and the claim gave us our
   * own message again: it is held on under the new fence instead of being delivered twice.
   */
  private isOurs(claimed: ClaimedMessage): boolean {
    const ours = this.own.get(claimed.id);
    // An id may stand twice in a queue, as dead letters of two others: that is another message.
    if (ours === undefined || ours.timestamp !== claimed.timestamp || claimed.attempts !== ours.attempts + 1) {
      return false;
    }
    ours.fence = claimed.fence;
    ours.attempts = claimed.attempts;
    return true;
  }

  private forget(messages: ClaimedMessage[]): void {
    for (const message of messages) {
      this.heldBytes -= message.body.byteLength;
      if (this.own.get(message.id) === message) this.own.delete(message.id);
    }
  }

  private deadlineOf(messages: ClaimedMessage[], nowMs: number): number {
    let firstDueAt = Number.POSITIVE_INFINITY;
    for (const message of messages) firstDueAt = Math.min(firstDueAt, dueAtOf(message, nowMs));
    return firstDueAt + this.parts.settings().maxBatchTimeoutS * 1000;
  }

  private deliver(limits: Limits): void {
    const { now, settings } = this.parts;
    const { maxBatchSize } = settings();
    while (!this.isFull(limits)) {
      const [next] = this.apart;
      if (next !== undefined) {
        // Of one that died beside it nobody could say whether it died of it.
        const suspect = next.kills !== null && next.kills > 0;
        if (suspect && this.inFlight.size > 0) return;
        this.exclusive = suspect;
        this.send(this.apart.splice(0, 1));
        continue;
      }
      if (this.gathered.length === 0 || (this.gathered.length < maxBatchSize && now() < this.deadline)) return;
      const messages = this.gathered.splice(0, maxBatchSize);
      this.deadline = this.deadlineOf(this.gathered, now());
      this.send(messages);
    }
  }

  private send(messages: ClaimedMessage[]): void {
    const batch = { messages, alone: this.inFlight.size === 0 };
    for (const other of this.inFlight) other.alone = false;
    this.inFlight.add(batch);
    this.held.add(batch);
    this.track(this.run(batch));
  }

  private async returnGathered(): Promise<void> {
    const batch = { messages: [...this.apart, ...this.gathered], alone: false };
    this.apart = [];
    this.gathered = [];
    this.deadline = Number.POSITIVE_INFINITY;
    if (batch.messages.length === 0) return;
    this.held.add(batch);
    await this.settle(batch, giveBack(batch.messages, this.parts.now()));
  }

  private async run(batch: Batch): Promise<void> {
    let settlements: Settlement[];
    try {
      settlements = await this.invoke(batch);
    } finally {
      this.inFlight.delete(batch);
      this.exclusive = false;
    }
    // The next batch need not wait for this one's commit.
    this.wake();
    await this.settle(batch, settlements);
  }

  private async invoke(batch: Batch): Promise<Settlement[]> {
    const { receiver, settings, now, random } = this.parts;
    const looping = batch.messages.filter((message) => message.hops > MAX_HOPS);
    const dead = looping.map(({ id, fence, hops }): Settlement => {
      return { id, fence, verdict: 'dead', reason: `LOOP_DETECTED: hop ${hops} of functions calling functions` };
    });
    const messages =
      looping.length === 0 ? batch.messages : batch.messages.filter((message) => message.hops <= MAX_HOPS);
    if (messages.length === 0) return dead;
    try {
      const settlements = await receiver.deliver(messages);
      this.refusals = 0;
      return [...dead, ...settlements];
    } catch (thrown) {
      const error = toHearthError(thrown);
      if (!foundNoRoom(error)) {
        this.refusals = 0;
        const alone = batch.alone && messages.length === 1;
        return [...dead, ...settleByError(messages, error, alone, settings(), now(), random)];
      }
      this.refusals += 1;
      this.restUntil = now() + restMs(error, this.refusals, random);
      return [...dead, ...giveBack(messages, this.restUntil)];
    }
  }

  private async settle(batch: Batch, settlements: Settlement[]): Promise<void> {
    const { store, settings, now, died, log } = this.parts;
    try {
      const { refused } = await store.settle(this.queue, settlements, now());
      if (refused.length > 0) log.warn('Messages were settled too late.', { queue: this.queue, ids: refused });
    } catch (error) {
      // Their leases end and they are delivered once more.
      log.error('A batch could not be settled.', { queue: this.queue, messages: settlements.length, error });
    } finally {
      this.held.delete(batch);
      this.forget(batch.messages);
    }
    if (settlements.some(({ verdict }) => verdict === 'dead')) died(settings().deadLetterQueue);
    this.wake();
  }
}
