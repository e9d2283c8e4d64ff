/** What an author of modules needs of a base in a repository of their own: one file of declarations. */
import type { KeptBase } from './definitions.ts';

/** Whether declarations say what `env.BASE` is. */
export function declaresBase(types: string): boolean {
  return (
    /^\s*export\s+(declare\s+)?(abstract\s+)?(interface|type|class)\s+Base\b/m.test(types) ||
    /^\s*export\s+(type\s*)?\{[^}]*\bBase\b[^}]*\}/m.test(types)
  );
}

/** `types`: declarations of `Base`, where there are any. A TypeScript declaration file: `Base`, `BaseEnv`, and the libraries with the versions that stand in the base. */
export function typesOf({ record, prepared }: KeptBase, types: string | null): string {
  const { name, current } = record;
  const { shared, setupPath } = prepared.definition;
  const libraries = new Map(shared.map(({ library, version }) => [library, version]));
  const install = [...libraries].map(([library, version]) => `${library}@${version}`).join(' ');
  const lines = [
    `// The base "${name}", generation ${current.generation}, as Hearth has it. Made by GET /v1/bases/${name}/types: fetch it`,
    '// again when the base has changed rather than edit it.',
    ...(install === ''
      ? []
      : [
          '//',
          '// What it shares is left out of your module. For its types:',
          `//   npm install --save-dev ${install}`,
        ]),
    '',
    types === null ? untyped(setupPath !== null) : types.trim(),
    '',
    '/** What every module on this base finds in `env`, beside its own bindings: `fetch(request, env: BaseEnv & { … })`. */',
    setupPath === null
      ? 'export type BaseEnv = Record<never, never>;'
      : 'export interface BaseEnv {\n  readonly BASE: Base;\n}',
    '',
    '/** What a module imports without bringing it, and the version it gets. */',
    'export interface Shared {',
    ...shared.map(({ specifier, version }) => `  readonly ${JSON.stringify(specifier)}: ${JSON.stringify(version)};`),
    '}',
    '',
  ];
  return lines.join('\n');
}

function untyped(setup: boolean): string {
  return setup
    ? [
        '/** Nobody says what its setup makes: give declarations as "types" of the base, with `export interface Base`. */',
        'export type Base = any;',
      ].join('\n')
    : '/** It has no setup, so there is no `env.BASE`. */\nexport type Base = undefined;';
}
