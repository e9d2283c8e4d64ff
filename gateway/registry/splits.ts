/** Parts of a publication's requests that are served apart: the same version, with instances and limits of their own. */
import type { Manifest } from '../../functions/contract/manifest.ts';
import type { Split } from '../../functions/contract/publication.ts';
import type { ModuleSpec } from '../../pool/keeper/api.ts';
import type { VersionRecord } from '../store/api/registry.ts';
import type { Claims } from './claims.ts';
import type { VersionEntry } from './registry.ts';
import { type Tagged, tagOf } from './tags.ts';
import { type Ask, matches } from './traffic.ts';

export class Splits {
  /** Whether `of` may ask for the body. */
  readonly needsBody: boolean;
  readonly #publication: string;
  readonly #splits: readonly Split[];
  /** By version, then by the name of the split: the keeper is to be given the same spec each time. */
  readonly #made = new WeakMap<VersionEntry, Map<string, SplitVersion>>();

  constructor(publication: string, splits: readonly Split[]) {
    this.#publication = publication;
    this.#splits = splits;
    this.needsBody = splits.some(({ when }) => when?.json !== undefined);
  }

  /** The version as it serves this request: as it is, or as the first split that the request falls to. */
  of(version: VersionEntry, ask: Ask, request: Tagged): VersionEntry {
    const split = this.#splits.find(
      ({ when, tag }) => (tag === undefined || tag === tagOf(request)) && (when === undefined || matches(when, ask)),
    );
    if (split === undefined) return version;
    const made = this.#made.getOrInsertComputed(version, () => new Map());
    return made.getOrInsertComputed(split.name, () => new SplitVersion(version, this.#publication, split));
  }
}

/** What the keys of all that is split off by a publication begin with, behind the key of the version. */
export function splitKeys(publication: string): string {
  return `/${publication}/`;
}

class SplitVersion implements VersionEntry {
  readonly functionName: string;
  readonly version: string;
  readonly key: string;
  readonly part: string;
  readonly claims: Claims;
  readonly #whole: VersionEntry;
  readonly #split: Split;
  /** Made of the spec beside it. */
  #spec: ModuleSpec | null = null;
  #madeOf: ModuleSpec | null = null;

  constructor(whole: VersionEntry, publication: string, split: Split) {
    this.functionName = whole.functionName;
    this.version = whole.version;
    this.claims = whole.claims;
    this.key = `${whole.key}${splitKeys(publication)}${split.name}`;
    this.part = `${publication}/${split.name}`;
    this.#whole = whole;
    this.#split = split;
  }

  get record(): VersionRecord {
    return this.#whole.record;
  }

  get manifest(): Manifest {
    return this.#whole.manifest;
  }

  get spec(): ModuleSpec {
    const whole = this.#whole.spec;
    if (this.#spec === null || this.#madeOf !== whole) {
      const { limits } = whole;
      const { maxInstances = limits.maxInstances, concurrency = limits.concurrency } = this.#split;
      // What is kept loaded and reserved is the version's own; this part begins with its first request.
      const own = { ...limits, maxInstances, concurrency, minInstances: 0, reserved: 0 };
      // In the base of a group it would share slots and memory with what it is set apart from: so it runs alone.
      this.#spec = { ...whole, key: this.key, group: null, limits: own };
      this.#madeOf = whole;
    }
    return this.#spec;
  }
}
