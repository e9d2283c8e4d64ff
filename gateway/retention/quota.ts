/**
 * Keeps the state within what it may take: from nine tenths of that on nothing new is stored, neither deploys nor messages
 * nor values, while what was accepted goes on: it is delivered, acknowledged, moved and removed. The same while the disk
 * under it has next to no room left.
 */
import { HearthError } from '../../functions/contract/errors.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Timers } from '../triggers/timers.ts';

export interface QuotaParts {
  /** Bytes of all that is stored. */
  used(): Promise<number>;
  /** What that may come to, and its log beside it; null: as far as the disk goes. */
  limitBytes: number | null;
  logBytes: number;
  /** Of the file system under it; null: it is not on one of this machine. */
  disk: (() => Promise<{ freeBytes: number; totalBytes: number }>) | null;
  timers: Timers;
  log: Logger;
}

export interface Quota {
  /** Why nothing new may be stored; null: it may. */
  refusal(): HearthError | null;
  /** So many bytes are about to be stored. */
  taking(bytes: number): void;
  /** As last measured, for metrics. */
  level(): { usedBytes: number; limitBytes: number | null };
  /** Resolves when it has been measured for the first time. */
  start(): Promise<void>;
  end(): void;
}

const EVERY_MS = 2_000;
/** The rest is for what was accepted. */
const SHARE = 0.9;
/** Of the file system: so much, and of a small one so large a part, is left for what was accepted. */
const RESERVE_BYTES = 64 * 2 ** 20;
const RESERVE_SHARE = 0.05;
const RETRY_AFTER_S = 30;

const MB = 2 ** 20;

export function createQuota({ used, limitBytes, logBytes, disk, timers, log }: QuotaParts): Quota {
  const stateBytes = limitBytes === null ? null : limitBytes - logBytes;
  let usedBytes = 0;
  /** Since that was measured. */
  let takenBytes = 0;
  let room: { freeBytes: number; totalBytes: number } | null = null;
  let cancel: () => void = () => undefined;
  let ended = false;
  let wasFull = false;

  function why(): string | null {
    const bytes = usedBytes + takenBytes;
    if (stateBytes !== null && bytes >= stateBytes * SHARE) {
      const [has, may] = [Math.ceil(bytes / MB), Math.floor(stateBytes / MB)];
      const log = logBytes > 0 ? ` less ${logBytes / MB} for its log` : '';
      return `Hearth's state takes ${has} MB of the ${may} it may (HEARTH_DISK_MB${log}), and the rest is for what was accepted: remove versions, messages or values, or allow more.`;
    }
    if (room === null) return null;
    const reserve = Math.min(RESERVE_BYTES, room.totalBytes * RESERVE_SHARE);
    if (room.freeBytes - takenBytes > reserve) return null;
    return `The disk of the data directory is full but for ${Math.ceil(reserve / MB)} MB, which are kept for what was accepted; free some room, then send again.`;
  }

  async function look(): Promise<void> {
    try {
      const before = takenBytes;
      const measured = await used();
      const found = disk === null ? null : await disk();
      usedBytes = measured;
      room = found;
      // What came meanwhile may or may not be in the figure.
      takenBytes -= before;
    } catch (error) {
      // What was known holds on, and what is taken goes on counting.
      log.debug('how much is stored could not be measured', { error });
    }
    const full = why();
    if ((full !== null) !== wasFull) {
      wasFull = full !== null;
      if (full === null) log.info('There is room again: new state is stored.');
      else log.warn(full);
    }
  }

  async function round(): Promise<void> {
    await look();
    if (!ended) cancel = timers.after(EVERY_MS, () => void round());
  }

  return {
    refusal() {
      const full = why();
      return full === null ? null : new HearthError('NO_CAPACITY', full, { retryAfterS: RETRY_AFTER_S });
    },
    taking(bytes) {
      takenBytes += bytes;
    },
    level: () => ({ usedBytes: usedBytes + takenBytes, limitBytes: stateBytes }),
    start: round,
    end() {
      ended = true;
      cancel();
    },
  };
}
