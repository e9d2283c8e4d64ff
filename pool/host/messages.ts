/** What gateway and host say to each other over the host's IPC channel. Requests never travel here: bases have sockets. */
import type { BaseTask } from '../base/task.ts';
import type { Breach } from './watch.ts';

/** The first message to a host, in its environment-free life: how its threads are made. */
export interface HostSettings {
  /** The bundled base, in a directory of its own, and what else a base may read while it boots. */
  baseFile: string;
  readable: string[];
  maxBases: number;
  /** V8's own heap limit, MB: far above any `memoryMb`, since reaching it aborts the process. */
  heapLimitMb: number;
  /** A debugger may come to its threads: the process listens for one. */
  inspected: boolean;
  /** It has a session to itself: the kernel then weighs it as one against all of the gateway's. */
  ownSession: boolean;
}

export type ToHost =
  | { type: 'configure'; settings: HostSettings }
  | { type: 'boot'; task: BaseTask }
  /** End this base's thread, whatever it is doing. */
  | { type: 'end'; base: string }
  /** Answered at once: a host that does not is killed. */
  | { type: 'ping' }
  /** Take a profile of this base's thread, over so many ms; a snapshot of its heap takes what it takes. One at a time. */
  | { type: 'profile'; id: number; base: string; profile: ProfileKind; ms: number }
  /** Its next piece. */
  | { type: 'profile-more'; id: number }
  /** Nobody wants the rest. */
  | { type: 'profile-stop'; id: number };

export type ProfileKind = 'cpu' | 'heap';

export const PROFILE_PIECE_BYTES = 64 * 1024;

export type FromHost =
  | { type: 'ready' }
  /** The thread of this base is gone. */
  | { type: 'ended'; base: string; reason: string }
  /** This base is over a limit. The gateway is expected to end it; the host does so itself a moment later. */
  | { type: 'over'; base: string; breach: Breach }
  /** `heldMb`: of each leased base whose memory was measured, what it takes beyond what it took when it was warm. */
  | { type: 'pong'; heldMb: Record<string, number> }
  /** `text`: bytes, each a character. */
  | { type: 'profile-piece'; id: number; text: string; last: boolean }
  | { type: 'profile-failed'; id: number; why: string };

/** The host says what must never happen, by an exhaustive switch. */
export function assertNever(value: never): never {
  throw new Error(`Unknown message ${JSON.stringify(value)}`);
}
