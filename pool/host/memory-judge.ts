/**
 * When the memory of one base is over its limit: a pure function of figures and times.
 *
 * Garbage counts until it is collected, and V8, whose own limit is far higher, is in no hurry. So a base that is over
 * is first asked to collect; who is far over, or does not come to it in time, is ended.
 */

export type MemoryVerdict = 'within' | 'collect' | 'over';

/** How long a base may stay over its limit once it was asked to collect, ms. */
const COLLECT_MS = 250;
/** Far over: this many times the limit and so many bytes more. */
const FAR_FACTOR = 1.5;
const FAR_BYTES = 32 * 2 ** 20;
/** V8 lets Buffers that nobody holds any more come to about so much before it collects them. */
const LOOSE_BUFFER_BYTES = 128 * 2 ** 20;
/** Without an answer for so long a base counts as silent, ms. */
const SILENT_MS = 75;

export class MemoryJudge {
  #overSince: number | null = null;
  #askedAt: number | null = null;
  #rssWhenAsked = 0;
  #othersWhenAsked = 0;
  /** What was counted and cannot have been resident: a Buffer counts when it is made, and is touched afterwards. */
  #untouchedWhenAsked = 0;
  /** At the last answer. */
  bytes = 0;
  /** There was an answer. */
  known = false;

  /** Statistics were asked for and have not come: then nobody asks again. */
  get asking(): boolean {
    return this.#askedAt !== null;
  }

  /** `others`: bytes of the other bases at their last answers, as in `grownSince`. */
  asked(now: number, rss: number, others: number): void {
    this.#askedAt = now;
    this.#rssWhenAsked = rss;
    this.#othersWhenAsked = others;
    this.#untouchedWhenAsked = Math.max(0, this.bytes + others - rss);
  }

  /**
   * `buffers`: what of the bytes is memory of Buffers. `collected`: the base has come to collecting since it was asked;
   * one whose loop does not turn cannot, and Buffers that it let go of meanwhile are no fault of its.
   */
  answered(now: number, bytes: number, buffers: number, limitBytes: number, collected: boolean): MemoryVerdict {
    this.#askedAt = null;
    this.bytes = bytes;
    this.known = true;
    if (bytes <= limitBytes) {
      this.#overSince = null;
      return 'within';
    }
    const far = limitBytes * FAR_FACTOR + FAR_BYTES;
    if (bytes - Math.min(buffers, LOOSE_BUFFER_BYTES) > far) return 'over';
    if (this.#overSince === null) {
      this.#overSince = now;
      return 'collect';
    }
    if (!collected && bytes - Math.min(buffers, LOOSE_BUFFER_BYTES) <= limitBytes) return 'within';
    return now - this.#overSince < COLLECT_MS ? 'within' : 'over';
  }

  /** It has been asked, not before `since`, and is silent, as some loops and system calls make a thread. */
  silent(now: number, since: number): boolean {
    return this.#askedAt !== null && this.#askedAt >= since && now - this.#askedAt >= SILENT_MS;
  }

  /** By how much the process has grown meanwhile, less what the other bases say, and what had been counted already. */
  grownSince(rss: number, others: number): number {
    if (this.#askedAt === null) return 0;
    const byOthers = Math.max(0, others - this.#othersWhenAsked);
    return Math.max(0, rss - this.#rssWhenAsked - byOthers - this.#untouchedWhenAsked);
  }
}
