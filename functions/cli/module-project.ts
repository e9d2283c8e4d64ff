/** The repository of a module's author: which files it begins with, and which follow the base. Pure: nothing is read or written. */

/** What GET /v1/bases/NAME/types tells, beside its text. */
export interface BaseTypes {
  text: string;
  /** Library and version of all it shares: for devDependencies, so that they have types. */
  libraries: ReadonlyMap<string, string>;
  /** Whether there is an `env.BASE`. */
  provides: boolean;
}

/** Versions for devDependencies of a new project, by package. */
export type Tools = Readonly<Record<'typescript' | '@types/node', string>>;

/** Where the base's declarations stand in a project. */
export const TYPES_PATH = 'src/base.d.ts';

/** How the declarations begin; a file that begins otherwise is its author's own. */
const MADE_BY_HEARTH = '// The base "';

export function isMade(declarations: string): boolean {
  return declarations.startsWith(MADE_BY_HEARTH);
}

/** Reads what the gateway wrote (its base-types.ts). */
export function baseTypesOf(text: string): BaseTypes {
  const shared = /^export interface Shared \{\n((?: {2}readonly .*\n)*)\}/m.exec(text)?.[1] ?? '';
  const libraries = new Map<string, string>();
  for (const [, specifier = '', version = ''] of shared.matchAll(/^ {2}readonly "([^"]+)": "([^"]+)";$/gm)) {
    libraries.set(packageOf(specifier), version);
  }
  return { text, libraries, provides: /^ {2}readonly BASE: Base;$/m.test(text) };
}

/** `hono` of `hono/jsx`, `@scope/a` of `@scope/a/b`. */
function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

/** Path → text of a new project that type-checks and deploys as it is. */
export function moduleProject(given: {
  name: string;
  base: string;
  types: BaseTypes;
  tools: Tools;
}): Map<string, string> {
  const { name, base, types, tools } = given;
  const packageJson = {
    name,
    version: '0.1.0',
    private: true,
    type: 'module',
    scripts: { check: 'tsc', types: 'hearth types', deploy: 'npm run check && hearth deploy' },
    devDependencies: sorted({ ...tools, ...Object.fromEntries(types.libraries) }),
  };
  return new Map([
    ['package.json', json(packageJson)],
    ['tsconfig.json', json(TSCONFIG)],
    ['hearth.jsonc', manifest(name, base)],
    [TYPES_PATH, types.text],
    ['src/index.ts', source(name, types)],
  ]);
}

const TSCONFIG = {
  compilerOptions: {
    target: 'esnext',
    module: 'esnext',
    moduleResolution: 'bundler',
    lib: ['esnext'],
    types: ['node'],
    strict: true,
    noUncheckedIndexedAccess: true,
    verbatimModuleSyntax: true,
    isolatedModules: true,
    allowImportingTsExtensions: true,
    skipLibCheck: true,
    noEmit: true,
  },
  include: ['src'],
};

function manifest(name: string, base: string): string {
  return `{
  "name": "${name}",
  "main": "src/index.ts",
  // "vars", "routes", "triggers", "queues", "kv_namespaces" and "services" as in Workers.
  "hearth": {
    "base": "${base}"
  }
}
`;
}

function source(name: string, { provides, libraries }: BaseTypes): string {
  const shared = [...libraries.keys()];
  return [
    shared.length === 0
      ? '// Its base shares no libraries: what this imports is deployed with it.'
      : `// Import ${shared.join(', ')} as usual: what the base has is left out of what is deployed.`,
    "import type { BaseEnv } from './base.d.ts';",
    '',
    '/** What this module is given: what its base made, and the bindings of hearth.jsonc. */',
    'interface Env extends BaseEnv {}',
    '',
    'export default {',
    provides
      ? `  fetch(_request: Request, env: Env): Response {
    return Response.json({ module: '${name}', base: Object.keys(env.BASE ?? {}) });
  },`
      : `  fetch(request: Request, env: Env): Response {
    return Response.json({ module: '${name}', path: new URL(request.url).pathname, bindings: Object.keys(env) });
  },`,
    '};',
    '',
  ].join('\n');
}

export interface Refreshed {
  /** Of package.json. */
  text: string;
  /** Libraries whose version is another now, or that are new: name → version. */
  changed: Map<string, string>;
}

/**
 * package.json with the versions that stand in the base. What the module brings itself (`dependencies`) stays, and so
 * does what the base shares no more: something else of the repository may use it.
 * @throws SyntaxError when it is no JSON.
 */
export function withLibraries(packageJson: string, libraries: BaseTypes['libraries']): Refreshed {
  const parsed = JSON.parse(packageJson) as {
    dependencies?: Record<string, string>;
    devDependencies?: Record<string, string>;
  };
  const own = parsed.dependencies ?? {};
  const before = parsed.devDependencies ?? {};
  const changed = new Map(
    [...libraries].filter(([library, version]) => own[library] === undefined && before[library] !== version),
  );
  if (changed.size === 0) return { text: packageJson, changed };
  const indent = /^[ \t]+(?=")/m.exec(packageJson)?.[0] ?? 2;
  const after = { ...parsed, devDependencies: sorted({ ...before, ...Object.fromEntries(changed) }) };
  return { text: `${JSON.stringify(after, null, indent)}\n`, changed };
}

/** As npm sorts them. */
function sorted(record: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
