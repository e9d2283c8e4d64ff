/** Functions and versions in memory: names and claims always, manifest and spec only of those in use. */
import type { Manifest } from '../../functions/contract/manifest.ts';
import { type Traffic, versionsOf } from '../../functions/contract/traffic.ts';
import type { ModuleSpec } from '../../pool/keeper/api.ts';
import type { FunctionRecord, VersionRecord } from '../store/api/registry.ts';
import type { Claims } from './claims.ts';
import { compact, expand } from './compact.ts';
import type { FunctionEntry, VersionEntry } from './registry.ts';
import { keyOf, type OpenedSecrets } from './specs.ts';
import { type Ask, type Choice, compileTraffic, type TrafficPlan } from './traffic.ts';

interface Opened {
  readonly record: VersionRecord;
  readonly spec: ModuleSpec;
}

/** What an entry is opened with, the same for all. */
export interface Opener {
  readonly shelf: Shelf;
  spec(record: VersionRecord, secrets: OpenedSecrets): ModuleSpec;
}

export class KeptVersion implements VersionEntry {
  readonly functionName: string;
  readonly version: string;
  readonly claims: Claims;
  readonly secrets: OpenedSecrets;
  readonly #text: string;
  readonly #opener: Opener;
  #opened: Opened | null = null;
  /** Since the shelf looked last. */
  used = false;

  /** `text`: see compact.ts. */
  constructor(
    id: { functionName: string; version: string },
    text: string,
    claims: Claims,
    secrets: OpenedSecrets,
    opener: Opener,
  ) {
    this.functionName = id.functionName;
    this.version = id.version;
    this.#text = text;
    this.claims = claims;
    this.secrets = secrets;
    this.#opener = opener;
  }

  get key(): string {
    return keyOf(this, this.secrets);
  }

  get record(): VersionRecord {
    return this.#open().record;
  }

  get manifest(): Manifest {
    return this.#open().record.manifest;
  }

  get spec(): ModuleSpec {
    return this.#open().spec;
  }

  /** The same version with other secrets. */
  with(secrets: OpenedSecrets): KeptVersion {
    return new KeptVersion(this, this.#text, this.claims, secrets, this.#opener);
  }

  /** Takes up a spec that is in use already. */
  take(record: VersionRecord, spec: ModuleSpec): void {
    this.#keep({ record, spec });
  }

  /** Of what was read only the text is left. */
  close(): void {
    this.#opened = null;
    this.#opener.shelf.remove(this);
  }

  #open(): Opened {
    this.used = true;
    return this.#opened ?? this.#read();
  }

  #read(): Opened {
    const record = expand(this.functionName, this.version, this.#text);
    return this.#keep({ record, spec: this.#opener.spec(record, this.secrets) });
  }

  #keep(opened: Opened): Opened {
    this.#opened = opened;
    this.#opener.shelf.add(this);
    return opened;
  }
}

export function keptVersion(
  record: VersionRecord,
  claims: Claims,
  secrets: OpenedSecrets,
  opener: Opener,
): KeptVersion {
  return new KeptVersion(record, compact(record), claims, secrets, opener);
}

/** The versions that are open, so many at most: one that was not used since the last look goes first. */
export class Shelf {
  readonly #most: number;
  readonly #open = new Set<KeptVersion>();

  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#open.size;
  }

  add(version: KeptVersion): void {
    this.#open.add(version);
    if (this.#open.size <= this.#most) return;
    // Those that are put back come last and are no longer used: so this ends within two rounds.
    for (const oldest of this.#open) {
      if (!oldest.used) {
        oldest.close();
        return;
      }
      oldest.used = false;
      this.#open.delete(oldest);
      this.#open.add(oldest);
    }
  }

  remove(version: KeptVersion): void {
    this.#open.delete(version);
  }
}

/** Characters of a version that stand for the whole of it. */
const LEAST_PREFIX = 8;

export class KeptFunction implements FunctionEntry {
  readonly record: FunctionRecord;
  /** Oldest first. */
  readonly kept: readonly KeptVersion[];
  readonly active: KeptVersion | undefined;
  /** Of ten thousand functions most are not called today. */
  #plan: TrafficPlan | null = null;
  #serving: readonly KeptVersion[] | null = null;

  constructor(record: FunctionRecord, kept: readonly KeptVersion[]) {
    this.record = record;
    this.kept = kept;
    this.active = record.traffic === null ? undefined : find(kept, mainVersion(record.traffic));
  }

  get plan(): TrafficPlan | null {
    return this.#plan ?? this.#compile();
  }

  #compile(): TrafficPlan | null {
    const { name, traffic } = this.record;
    if (traffic !== null && this.active !== undefined) this.#plan = compileTraffic(name, traffic);
    return this.#plan;
  }

  get serving(): readonly KeptVersion[] {
    this.#serving ??= namedBy(this.record.traffic).flatMap((version) => find(this.kept, version) ?? []);
    return this.#serving;
  }

  pick(ask: Ask | null): KeptVersion | undefined {
    const plan = this.plan;
    return plan === null || plan.single !== null ? this.active : this.choose(ask)?.version;
  }

  choose(ask: Ask | null): Choice<KeptVersion> | undefined {
    const choice = this.plan?.choose(ask);
    if (choice === undefined || this.active === undefined) return undefined;
    const version = this.serving.find((each) => each.version === choice.version);
    return { version: version ?? this.active, arm: choice.arm };
  }

  get versions(): ReadonlyMap<string, KeptVersion> {
    return new Map(this.kept.map((version) => [version.version, version]));
  }

  version(version: string): KeptVersion | undefined {
    return find(this.kept, version);
  }

  names(version: string): boolean {
    const { traffic, previousTraffic } = this.record;
    return namedBy(traffic).includes(version) || namedBy(previousTraffic).includes(version);
  }

  find(version: string): KeptVersion | undefined {
    const whole = find(this.kept, version);
    if (whole !== undefined || version.length < LEAST_PREFIX) return whole;
    const [only, other] = this.kept.filter((each) => each.version.startsWith(version));
    return other === undefined ? only : undefined;
  }
}

/** From the newest on: it is the one that is asked for. */
function find(kept: readonly KeptVersion[], version: string): KeptVersion | undefined {
  return kept.findLast((each) => each.version === version);
}

/** Every version that a setting names, each once, those of the split first. */
export function namedBy(traffic: Traffic | null): string[] {
  return traffic === null ? [] : versionsOf(traffic);
}

/** The one with the largest share. */
export function mainVersion({ split }: Traffic): string {
  return split.reduce((most, share) => (share.percent > most.percent ? share : most)).version;
}
