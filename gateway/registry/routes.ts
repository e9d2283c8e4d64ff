/**
 * Which function a request is for. In this order, the first that matches:
 *
 *   1. routes of manifests that name a host (`example.com/api/*`, `*.example.com/*`), Workers' way: the more specific
 *      host wins, then the longer path
 *   2. NAME.localhost
 *   3. routes for any host (`*` + path) and /NAME, by the longer path; for equal ones the route, as it was asked for
 *
 * So `*` + `/*` takes what nothing else takes, and hides no function.
 *
 * One pattern may be held under several tags. A request that carries one of them is for its holder; any other is for
 * the one without a tag, and where there is none, for the next pattern that matches.
 */
import { type Tagged, tagOf } from './tags.ts';

export interface Route<T> {
  target: T;
  /** To be taken off the path; null: the URL is untouched. */
  prefix: string | null;
}

export interface Holding {
  /** In canonical form (contract/routes.ts). */
  patterns: readonly string[];
  /** Whether it is reached by its name, too. */
  byName: boolean;
  /** Null: also requests without a tag. */
  tag: string | null;
}

export interface RouteTable<T> {
  /** Publishes under a name what it holds. Replaces what it held. */
  set(name: string, holding: Holding, target: T): void;
  delete(name: string): void;
  /** `host` without port, in lower case; `path` with its leading slash, without query. `request` null: it has no tag. */
  match(host: string, path: string, request: Tagged | null): Route<T> | undefined;
  /** The first of these patterns that is held under this tag by another name, and which one. */
  conflict(name: string, holding: Pick<Holding, 'patterns' | 'tag'>): { pattern: string; owner: string } | undefined;
}

interface Owned<T> {
  owner: string;
  route: Route<T>;
  tag: string | null;
  /** Of the same pattern, under another tag. */
  next: Owned<T> | null;
}

interface Pattern {
  host: string;
  /** `exact`: this host; `below`: its subdomains; `with-below`: both; `any`: every host. */
  hosts: 'exact' | 'below' | 'with-below' | 'any';
  path: string;
  /** Whether all paths that begin with `path` match, or only itself. */
  prefix: boolean;
}

export function createRouteTable<T>(): RouteTable<T> {
  const published = new Map<string, Published<T>>();
  const hosts = {
    exact: new Map<string, PathTable<T>>(),
    below: new Map<string, PathTable<T>>(),
    'with-below': new Map<string, PathTable<T>>(),
  };
  const anyHost = createPathTable<T>();

  function tableFor(pattern: Pattern): PathTable<T> {
    if (pattern.hosts === 'any') return anyHost;
    let table = hosts[pattern.hosts].get(pattern.host);
    if (table === undefined) {
      table = createPathTable();
      hosts[pattern.hosts].set(pattern.host, table);
    }
    return table;
  }

  function matchHost(host: string, path: string, request: Tagged | null): Owned<T> | undefined {
    const exact = hosts.exact.get(host)?.match(path, request);
    if (exact !== undefined) return exact;
    if (hosts.below.size === 0 && hosts['with-below'].size === 0) return undefined;
    // The host itself, then each domain above it: the longest suffix is the most specific one.
    for (let from = 0; from !== -1; ) {
      const suffix = from === 0 ? host : host.slice(from);
      const found =
        (from === 0 ? undefined : hosts.below.get(suffix)?.match(path, request)) ??
        hosts['with-below'].get(suffix)?.match(path, request);
      if (found !== undefined) return found;
      const dot = host.indexOf('.', from);
      from = dot === -1 ? -1 : dot + 1;
    }
    return undefined;
  }

  function remove(name: string): void {
    const patterns = published.get(name)?.patterns;
    if (patterns === undefined) return;
    published.delete(name);
    for (const pattern of patterns) {
      const table = tableFor(pattern);
      table.delete(pattern, name);
      if (table.isEmpty() && pattern.hosts !== 'any') hosts[pattern.hosts].delete(pattern.host);
    }
  }

  function named(name: string, request: Tagged | null): Published<T> | undefined {
    const found = published.get(name);
    return found?.byName === true && (found.tag === null || found.tag === tagOf(request)) ? found : undefined;
  }

  return {
    set(name, { patterns: written, byName, tag }, target) {
      remove(name);
      const patterns = written.length === 0 ? NO_PATTERNS : written.map(readPattern);
      published.set(name, new Published(name, patterns, byName, tag, target));
      for (const pattern of patterns) {
        tableFor(pattern).add(pattern, { owner: name, route: { target, prefix: null }, tag, next: null });
      }
    },
    delete: remove,
    match(host, path, request) {
      const byPattern = matchHost(host, path, request);
      if (byPattern !== undefined) return byPattern.route;
      if (host.endsWith('.localhost')) {
        const byHost = named(host.slice(0, -'.localhost'.length), request);
        if (byHost !== undefined) return byHost.byHost;
      }
      const slash = path.indexOf('/', 1);
      const name = slash === -1 ? path.slice(1) : path.slice(1, slash);
      const byName = named(name, request);
      // As long as /NAME or longer: a shorter route for any host is less specific.
      const byPath = anyHost.match(path, request, byName === undefined ? 0 : name.length + 1);
      return byPath?.route ?? byName?.byPath;
    },
    conflict(name, { patterns, tag }) {
      for (const text of patterns) {
        const pattern = readPattern(text);
        const table = pattern.hosts === 'any' ? anyHost : hosts[pattern.hosts].get(pattern.host);
        const owner = table?.owner(pattern, tag);
        if (owner !== undefined && owner !== name) return { pattern: text, owner };
      }
      return undefined;
    },
  };
}

const NO_PATTERNS: readonly Pattern[] = [];

/** One name, and its routes by name: made at the first request, as most of ten thousand functions see none. */
class Published<T> {
  readonly patterns: readonly Pattern[];
  readonly byName: boolean;
  readonly tag: string | null;
  readonly #name: string;
  readonly #target: T;
  #byPath: Route<T> | null = null;
  #byHost: Route<T> | null = null;

  constructor(name: string, patterns: readonly Pattern[], byName: boolean, tag: string | null, target: T) {
    this.#name = name;
    this.patterns = patterns;
    this.byName = byName;
    this.tag = tag;
    this.#target = target;
  }

  get byPath(): Route<T> {
    this.#byPath ??= { target: this.#target, prefix: `/${this.#name}` };
    return this.#byPath;
  }

  get byHost(): Route<T> {
    this.#byHost ??= { target: this.#target, prefix: null };
    return this.#byHost;
  }
}

interface PathTable<T> {
  add(pattern: Pattern, owned: Owned<T>): void;
  delete(pattern: Pattern, owner: string): void;
  owner(pattern: Pattern, tag: string | null): string | undefined;
  /** The exact path, else the longest prefix of at least `least` characters. */
  match(path: string, request: Tagged | null, least?: number): Owned<T> | undefined;
  isEmpty(): boolean;
}

/** Prefixes are found by their lengths, of which there are few, however many patterns there are. */
function createPathTable<T>(): PathTable<T> {
  const exact = new Map<string, Owned<T>>();
  const prefixes = new Map<string, Owned<T>>();
  const counts = new Map<number, number>();
  /** Lengths that occur, longest first. */
  let lengths: number[] = [];

  function count(length: number, by: 1 | -1): void {
    const left = (counts.get(length) ?? 0) + by;
    if (left === 0) counts.delete(length);
    else counts.set(length, left);
    lengths = [...counts.keys()].sort((a, b) => b - a);
  }

  return {
    add(pattern, owned) {
      const into = pattern.prefix ? prefixes : exact;
      const held = into.get(pattern.path);
      if (held === undefined) {
        into.set(pattern.path, owned);
        if (pattern.prefix) count(pattern.path.length, 1);
        return;
      }
      // Callers have asked for conflicts; should two still meet, the one that was first stays.
      for (let each = held; each.tag !== owned.tag; each = each.next) {
        if (each.next !== null) continue;
        each.next = owned;
        return;
      }
    },
    delete(pattern, owner) {
      const from = pattern.prefix ? prefixes : exact;
      const held = from.get(pattern.path);
      if (held === undefined) return;
      const left = without(held, owner);
      if (left !== null) {
        from.set(pattern.path, left);
        return;
      }
      from.delete(pattern.path);
      if (pattern.prefix) count(pattern.path.length, -1);
    },
    owner(pattern, tag) {
      let each = (pattern.prefix ? prefixes : exact).get(pattern.path) ?? null;
      while (each !== null && each.tag !== tag) each = each.next;
      return each?.owner;
    },
    match(path, request, least = 0) {
      const whole = exact.get(path);
      const answering = whole === undefined ? undefined : choose(whole, request);
      if (answering !== undefined) return answering;
      for (const length of lengths) {
        if (length > path.length) continue;
        if (length < least) break;
        const held = prefixes.get(path.slice(0, length));
        const found = held === undefined ? undefined : choose(held, request);
        if (found !== undefined) return found;
      }
      return undefined;
    },
    isEmpty: () => exact.size === 0 && prefixes.size === 0,
  };
}

/** Who answers among those that hold one pattern. */
function choose<T>(held: Owned<T>, request: Tagged | null): Owned<T> | undefined {
  if (held.tag === null && held.next === null) return held;
  const tag = tagOf(request);
  let untagged: Owned<T> | undefined;
  for (let each: Owned<T> | null = held; each !== null; each = each.next) {
    if (each.tag === null) untagged = each;
    else if (each.tag === tag) return each;
  }
  return untagged;
}

function without<T>(held: Owned<T>, owner: string): Owned<T> | null {
  if (held.owner === owner) return held.next;
  for (let each = held; each.next !== null; each = each.next) {
    if (each.next.owner !== owner) continue;
    each.next = each.next.next;
    break;
  }
  return held;
}

function readPattern(text: string): Pattern {
  const slash = text.indexOf('/');
  const hostText = slash === -1 ? text : text.slice(0, slash);
  // A host alone is its root path.
  const pathText = slash === -1 ? (hostText === '*' ? '/*' : '/') : text.slice(slash);
  const prefix = pathText.endsWith('*');
  const path = prefix ? pathText.slice(0, -1) : pathText;
  if (hostText === '*') return { host: '', hosts: 'any', path, prefix };
  if (hostText.startsWith('*.')) return { host: hostText.slice(2), hosts: 'below', path, prefix };
  if (hostText.startsWith('*')) return { host: hostText.slice(1), hosts: 'with-below', path, prefix };
  return { host: hostText, hosts: 'exact', path, prefix };
}
