/**
 * `exports` and `imports` of a package.json, as Node's documentation of packages defines them: conditions nest and fall
 * through, patterns have one `*`, the longest key wins, `null` shuts a path out.
 *
 * resolve.exports was tried: nested conditions do not fall through there, and it makes regular expressions of keys,
 * which are the uploader's.
 */

/** Whether a condition such as `import` holds. */
export type Holds = (condition: string) => boolean;

/** Targets of `subpath` (`.` or `./x`) to be tried in turn; none when the package does not export it. */
export function exportTargets(exports: unknown, subpath: string, holds: Holds): string[] {
  const bySubpath = isRecord(exports) && Object.keys(exports).some((key) => key.startsWith('.'));
  const map: Record<string, unknown> = bySubpath ? (exports as Record<string, unknown>) : { '.': exports };
  return mapTargets(map, subpath, holds).filter((target) => target.startsWith('./'));
}

/** Targets of `#name`: `./path` in the package, or another specifier. */
export function importTargets(imports: unknown, specifier: string, holds: Holds): string[] {
  return isRecord(imports) ? mapTargets(imports, specifier, holds) : [];
}

function mapTargets(map: Record<string, unknown>, wanted: string, holds: Holds): string[] {
  if (Object.hasOwn(map, wanted) && !wanted.includes('*')) return targetsOf(map[wanted], holds) ?? [];
  const keys = Object.keys(map)
    .filter((key) => key.split('*').length === 2 || key.endsWith('/'))
    .sort((a, b) => prefixOf(b).length - prefixOf(a).length || b.length - a.length);
  for (const key of keys) {
    const prefix = prefixOf(key);
    const suffix = key.slice(prefix.length + 1);
    if (wanted.length <= prefix.length + suffix.length - (key.includes('*') ? 0 : 1)) continue;
    if (!wanted.startsWith(prefix) || !wanted.endsWith(suffix)) continue;
    const matched = wanted.slice(prefix.length, wanted.length - suffix.length);
    if (/(^|\/)(\.{1,2}|node_modules)(\/|$)/.test(matched)) return [];
    return (targetsOf(map[key], holds) ?? []).map((target) =>
      key.includes('*') ? target.replaceAll('*', () => matched) : `${target}${matched}`,
    );
  }
  return [];
}

/** Undefined: no condition holds here, look further. Empty: shut out by `null`. */
function targetsOf(value: unknown, holds: Holds): string[] | undefined {
  if (typeof value === 'string') return [value];
  if (value === null) return [];
  if (Array.isArray(value)) {
    const all = value.flatMap((entry) => targetsOf(entry, holds) ?? []);
    return all.length === 0 ? undefined : all;
  }
  if (!isRecord(value)) return undefined;
  for (const [condition, inner] of Object.entries(value)) {
    if (condition !== 'default' && !holds(condition)) continue;
    const found = targetsOf(inner, holds);
    if (found !== undefined) return found;
  }
  return undefined;
}

function prefixOf(key: string): string {
  const star = key.indexOf('*');
  return star === -1 ? key : key.slice(0, star);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
