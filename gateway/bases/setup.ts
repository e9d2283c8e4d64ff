/** The setup module of a base as the one CommonJS file that its bases load, and what shared libraries weigh. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BuildFailure, type BuildOptions, build, type Plugin } from 'esbuild';
import type { BaseDefinition } from '../../pool/keeper/definition.ts';
import { ConfigError } from '../config.ts';

export interface PreparedBase {
  definition: BaseDefinition;
  /** Of all that its bases are made of: the same text is the same base. */
  fingerprint: string;
}

/**
 * Makes the setup one file in `directory`, and finds out how much each shared library would add to a module that
 * carried it. `code`: a bundle that came over the API, null when the definition names its source on this machine, or
 * none. Throws ConfigError with file, line and column.
 */
export async function prepareBase(
  definition: BaseDefinition,
  code: Uint8Array | null,
  directory: string,
): Promise<PreparedBase> {
  await mkdir(directory, { recursive: true });
  const file = join(directory, `${definition.name}-${definition.generation ?? 1}.cjs`);
  const [setupPath, ...bytes] = await Promise.all([
    code === null ? bundleSetup(definition, file) : writeSetup(definition, code, file),
    ...definition.shared.map(bundledBytes),
  ]);
  const shared = definition.shared.map((entry, index) => ({ ...entry, bytes: bytes[index] ?? entry.bytes }));
  const prepared = { ...definition, setupPath, shared };
  const setup =
    setupPath === null
      ? ''
      : createHash('sha256')
          .update(await readFile(setupPath))
          .digest('hex');
  const { generation: _generation, setupPath: _path, ...content } = prepared;
  return { definition: prepared, fingerprint: JSON.stringify([content, setup]) };
}

const BUNDLED = {
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node26',
  logLevel: 'silent',
  legalComments: 'none',
  minifySyntax: true,
} as const satisfies BuildOptions;

/** What a setup may import of Hearth: it is bundled into it. */
const BUSINESS = 'hearth/business';
const BUSINESS_FILE = join(import.meta.dirname, '../../functions/runtime/business.ts');

/** A bundle of the builder asks for libraries by their names, which mean nothing where it stands. */
async function writeSetup({ shared }: BaseDefinition, code: Uint8Array, file: string): Promise<string> {
  const paths = JSON.stringify(Object.fromEntries(shared.map(({ specifier, path }) => [specifier, path])));
  const business = Buffer.from(code).includes(BUSINESS) ? await bundledBusiness() : '';
  const before = `const shared = new Map(Object.entries(${paths}));
const business = { exports: {} };
(function (module, exports) { ${business}
})(business, business.exports);
(function (require, __dirname) { `;
  const after = `
})((specifier) => specifier === '${BUSINESS}' ? business.exports : require(shared.get(specifier) ?? specifier), '/');
`;
  await writeFile(file, Buffer.concat([Buffer.from(before), code, Buffer.from(after)]));
  return file;
}

async function bundledBusiness(): Promise<string> {
  const { outputFiles } = await build({ ...BUNDLED, entryPoints: [BUSINESS_FILE], write: false });
  return outputFiles[0]?.text ?? '';
}

/**
 * A base may read this file and its shared libraries, and nothing else. The setup module is the operator's own, so it
 * is bundled with all it imports from where it stands; what the base shares stays one copy for setup and modules.
 */
async function bundleSetup({ name, setupPath, shared }: BaseDefinition, outfile: string): Promise<string | null> {
  if (setupPath === null) return null;
  const paths = new Map(shared.map(({ specifier, path }) => [specifier, path]));
  const plugin: Plugin = {
    name: 'shared',
    setup({ onResolve }) {
      onResolve({ filter: /^[^./]/ }, ({ path }) => {
        if (path === BUSINESS) return { path: BUSINESS_FILE };
        const file = paths.get(path);
        return file === undefined ? undefined : { path: file, external: true };
      });
    },
  };
  try {
    await build({ ...BUNDLED, entryPoints: [setupPath], outfile, plugins: [plugin] });
    return outfile;
  } catch (error) {
    const [first] = (error as Partial<BuildFailure>).errors ?? [];
    if (first === undefined) throw error;
    const place =
      first.location === null ? '' : `${first.location.file}:${first.location.line}:${first.location.column + 1}: `;
    throw new ConfigError(`bases.${name}.setup: ${place}${first.text}`, { cause: error });
  }
}

/** As a module would carry it. Of one that no bundler takes (native parts, files it reads) the file alone counts. */
async function bundledBytes({ path, bytes }: BaseDefinition['shared'][number]): Promise<number> {
  try {
    const { outputFiles } = await build({ ...BUNDLED, entryPoints: [path], write: false });
    return outputFiles.reduce((sum, { contents }) => sum + contents.byteLength, 0);
  } catch (error) {
    if ((error as Partial<BuildFailure>).errors === undefined) throw error;
    return bytes;
  }
}
