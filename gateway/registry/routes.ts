/**
 * Which function a request is for. In this order, the first that matches:
 *
 *   1. routes of manifests that name a host (`example.com/api/*`, `*.example.com/*`), Workers' way: the more specific
 *      host wins, then the longer path
 *   2. NAME.localhost
 *   3. routes for any host (`*` + path) and /NAME, by the longer path; for equal ones the route, as it was asked for
 *
 * So `*` + `/*` takes what nothing else takes, and hides no function.
 */

export interface Route<T> {
  target: T;
  /** To be taken off the path; null: the URL is untouched. */
  prefix: string | null;
}

export interface RouteTable<T> {
  /** Publishes a function: its name, and its route patterns in canonical form (contract/routes.ts). Replaces what it had. */
  set(name: string, patterns: readonly string[], target: T): void;
  delete(name: string): void;
  /** `host` without port, in lower case; `path` with its leading slash, without query. */
  match(host: string, path: string): Route<T> | undefined;
  /** The first of these patterns that another function has, and which one. */
  conflict(name: string, patterns: readonly string[]): { pattern: string; owner: string } | undefined;
}

interface Owned<T> {
  owner: string;
  route: Route<T>;
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

  function matchHost(host: string, path: string): Owned<T> | undefined {
    const exact = hosts.exact.get(host)?.match(path);
    if (exact !== undefined) return exact;
    if (hosts.below.size === 0 && hosts['with-below'].size === 0) return undefined;
    // The host itself, then each domain above it: the longest suffix is the most specific one.
    for (let from = 0; from !== -1; ) {
      const suffix = from === 0 ? host : host.slice(from);
      const found =
        (from === 0 ? undefined : hosts.below.get(suffix)?.match(path)) ?? hosts['with-below'].get(suffix)?.match(path);
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

  return {
    set(name, written, target) {
      remove(name);
      const patterns = written.map(readPattern);
      published.set(name, new Published(name, patterns.length === 0 ? NO_PATTERNS : patterns, target));
      for (const pattern of patterns) tableFor(pattern).add(pattern, { owner: name, route: { target, prefix: null } });
    },
    delete: remove,
    match(host, path) {
      const byPattern = matchHost(host, path);
      if (byPattern !== undefined) return byPattern.route;
      if (host.endsWith('.localhost')) {
        const byName = published.get(host.slice(0, -'.localhost'.length));
        if (byName !== undefined) return byName.byHost;
      }
      const slash = path.indexOf('/', 1);
      const name = slash === -1 ? path.slice(1) : path.slice(1, slash);
      const byName = published.get(name);
      // As long as /NAME or longer: a shorter route for any host is less specific.
      const byPath = anyHost.match(path, byName === undefined ? 0 : name.length + 1);
      return byPath?.route ?? byName?.byPath;
    },
    conflict(name, written) {
      for (const text of written) {
        const pattern = readPattern(text);
        const table = pattern.hosts === 'any' ? anyHost : hosts[pattern.hosts].get(pattern.host);
        const owner = table?.owner(pattern);
        if (owner !== undefined && owner !== name) return { pattern: text, owner };
      }
      return undefined;
    },
  };
}

const NO_PATTERNS: readonly Pattern[] = [];

/** One function, and its routes by name: made at the first request, as most of ten thousand functions see none. */
class Published<T> {
  readonly patterns: readonly Pattern[];
  readonly #name: string;
  readonly #target: T;
  #byPath: Route<T> | null = null;
  #byHost: Route<T> | null = null;

  constructor(name: string, patterns: readonly Pattern[], target: T) {
    this.#name = name;
    this.patterns = patterns;
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
  owner(pattern: Pattern): string | undefined;
  /** The exact path, else the longest prefix of at least `least` characters. */
  match(path: string, least?: number): Owned<T> | undefined;
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
      // Callers have asked for conflicts; should two still meet, the one that was first stays.
      if (into.has(pattern.path)) return;
      into.set(pattern.path, owned);
      if (pattern.prefix) count(pattern.path.length, 1);
    },
    delete(pattern, owner) {
      const from = pattern.prefix ? prefixes : exact;
      if (from.get(pattern.path)?.owner !== owner) return;
      from.delete(pattern.path);
      if (pattern.prefix) count(pattern.path.length, -1);
    },
    owner: (pattern) => (pattern.prefix ? prefixes : exact).get(pattern.path)?.owner,
    match(path, least = 0) {
      const whole = exact.get(path);
      if (whole !== undefined) return whole;
      for (const length of lengths) {
        if (length > path.length) continue;
        if (length < least) break;
        const found = prefixes.get(path.slice(0, length));
        if (found !== undefined) return found;
      }
      return undefined;
    },
    isEmpty: () => exact.size === 0 && prefixes.size === 0,
  };
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
