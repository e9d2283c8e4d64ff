/** From the text of a manifest file to a Manifest, with line and column for what is wrong in it. */
import { findNodeAtLocation, type Node, type ParseError, parseTree, printParseErrorCode } from 'jsonc-parser';
import { parse as parseToml, TomlError } from 'smol-toml';
import type { z } from 'zod';
import { HearthError, type SourceError } from './errors.ts';
import { type Manifest, type ManifestDialect, manifestSchemaFor } from './manifest.ts';
import { refusal } from './manifest-keys.ts';
import { tomlPlaces } from './toml-places.ts';

/** Names under which a manifest may stand beside the code; the first one present is taken. */
export const MANIFEST_FILES = ['hearth.jsonc', 'hearth.json', 'wrangler.jsonc', 'wrangler.json', 'wrangler.toml'];

/** Deep enough for any manifest; a limit because checking recurses. */
const MAX_DEPTH = 64;
/** Brackets left open in the raw text, those in strings and comments included: guards the parser's own recursion. */
const MAX_OPEN_BRACKETS = 1000;

type Path = (string | number)[];
type Locate = (path: Path, atKey: boolean) => { line: number; column: number } | undefined;

/**
 * Reads a manifest file. The dialect follows from the name: `wrangler.*` or `hearth.*`.
 *
 * `functionName`, the name in the deploy's URL, replaces the one in the file: the same directory may be deployed under
 * several names. KV namespaces without an id belong to that name.
 * @throws HearthError MANIFEST_INVALID with `errors`, each with line and column.
 */
export function parseManifest(text: string, fileName: string, functionName: string | null = null): Manifest {
  const dialect: ManifestDialect = /(^|\/)wrangler\.[a-z]+$/.test(fileName) ? 'wrangler' : 'hearth';
  if (fileName.endsWith('.toml'))
    return check(readToml(text, fileName), dialect, functionName, fileName, tomlPlaces(text));
  const { value, locate } = readJsonc(text, fileName);
  return check(value, dialect, functionName, fileName, locate);
}

/** A manifest that came as a value: the `manifest` of a JSON deploy, or `{}` for a single source file. */
export function parseManifestValue(value: unknown, functionName: string | null = null): Manifest {
  const problem = findUnsafe(value, [], 0);
  if (problem !== null) throw invalid([problem]);
  return check(value, 'hearth', functionName, undefined, () => undefined);
}

function check(
  value: unknown,
  dialect: ManifestDialect,
  functionName: string | null,
  file: string | undefined,
  locate: Locate,
): Manifest {
  const named =
    functionName !== null && isRecord(value)
      ? Object.assign(Object.create(null), value, { name: functionName })
      : value;
  const parsed = manifestSchemaFor(dialect).safeParse(named);
  if (parsed.success) return parsed.data;
  throw invalid(
    parsed.error.issues.flatMap(toProblems).map(({ message, path, atKey }) => {
      const place = locate(path, atKey);
      return {
        message,
        ...(file === undefined ? {} : { file }),
        ...(place === undefined ? {} : place),
        path: path.join('.'),
      };
    }),
  );
}

interface Problem {
  message: string;
  path: Path;
  /** The key itself is wrong, not its value. */
  atKey: boolean;
}

function toProblems(issue: z.core.$ZodIssue): Problem[] {
  const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)));
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ message: refusal(key, path), path: [...path, key], atKey: true }));
  }
  if (issue.code === 'invalid_key') {
    return [{ message: issue.issues[0]?.message ?? issue.message, path, atKey: true }];
  }
  // A union whose branches went deeper has its reason inside the branch that came furthest.
  if (issue.code === 'invalid_union') {
    const deepest = issue.errors.flat().filter((inner) => inner.code === 'unrecognized_keys' || inner.path.length > 0);
    const first = deepest[0];
    if (first !== undefined) return toProblems({ ...first, path: [...issue.path, ...first.path] });
  }
  return [{ message: issue.message, path, atKey: false }];
}

function readToml(text: string, file: string): unknown {
  let value: unknown;
  try {
    value = parseToml(text, { maxDepth: MAX_DEPTH });
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const message = `${file} is not TOML: ${error.message.split('\n')[0] ?? ''}`;
    throw invalid([{ message, file, line: error.line, column: error.column }]);
  }
  const problem = findUnsafe(value, [], 0);
  if (problem !== null) throw invalid([{ ...problem, file }]);
  return value;
}

function readJsonc(text: string, file: string): { value: unknown; locate: Locate } {
  const source = text.startsWith('\uFEFF') ? text.slice(1) : text;
  const syntaxErrors: ParseError[] = [];
  if (openBrackets(source) > MAX_OPEN_BRACKETS) {
    throw invalid([{ message: `${file} is nested deeper than ${MAX_DEPTH} levels.`, file }]);
  }
  const root = parseTree(source, syntaxErrors, { allowTrailingComma: true });
  const at = (offset: number) => {
    const before = source.slice(0, offset);
    return { line: before.split('\n').length, column: offset - before.lastIndexOf('\n') };
  };
  if (root === undefined || syntaxErrors.length > 0) {
    const errors = syntaxErrors.slice(0, 20).map((error) => ({
      message: `${file} is not JSON: ${inWords(printParseErrorCode(error.error))}.`,
      file,
      ...at(error.offset),
    }));
    throw invalid(errors.length > 0 ? errors : [{ message: `${file} is empty.`, file, line: 1, column: 1 }]);
  }
  const problems: SourceError[] = [];
  const value: unknown = toValue(root, (message, node) => problems.push({ message, file, ...at(node.offset) }));
  const unsafe = findUnsafe(value, [], 0);
  if (unsafe !== null) problems.push({ ...unsafe, file });
  if (problems.length > 0) throw invalid(problems);
  const locate: Locate = (path, atKey) => {
    // A key that is missing has no place of its own: the object that lacks it is named.
    for (let length = path.length; length >= 0; length -= 1) {
      const node = findNodeAtLocation(root, path.slice(0, length));
      if (node === undefined) continue;
      return at(atKey && length === path.length && node.parent !== undefined ? node.parent.offset : node.offset);
    }
    return undefined;
  };
  return { value, locate };
}

/** jsonc-parser's own conversion would set the prototype for `__proto__`, and take the last of two equal keys. */
function toValue(node: Node, problem: (message: string, node: Node) => void): unknown {
  if (node.type === 'array') return (node.children ?? []).map((child) => toValue(child, problem));
  if (node.type !== 'object') return node.value;
  const result: Record<string, unknown> = {};
  for (const property of node.children ?? []) {
    const [keyNode, valueNode] = property.children ?? [];
    if (keyNode === undefined || valueNode === undefined) continue;
    const key = String(keyNode.value);
    if (key === '__proto__') problem('"__proto__" cannot be a key.', property);
    else if (Object.hasOwn(result, key)) problem(`"${key}" is given twice.`, property);
    else result[key] = toValue(valueNode, problem);
  }
  return result;
}

function findUnsafe(value: unknown, path: Path, depth: number): SourceError | null {
  if (typeof value !== 'object' || value === null) return null;
  if (depth > MAX_DEPTH)
    return { message: `Nested deeper than ${MAX_DEPTH} levels.`, path: path.slice(0, 8).join('.') };
  for (const [key, inner] of Object.entries(value)) {
    if (key === '__proto__') return { message: '"__proto__" cannot be a key.', path: [...path, key].join('.') };
    const problem = findUnsafe(inner, [...path, key], depth + 1);
    if (problem !== null) return problem;
  }
  return null;
}

function openBrackets(text: string): number {
  let depth = 0;
  let most = 0;
  for (const character of text) {
    if (character === '{' || character === '[') most = Math.max(most, ++depth);
    else if (character === '}' || character === ']') depth = Math.max(0, depth - 1);
  }
  return most;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `CommaExpected` → `comma expected`. */
function inWords(code: string): string {
  return code.replace(
    /(?<=[a-z])[A-Z]|^[A-Z]/g,
    (letter, offset: number) => (offset === 0 ? '' : ' ') + letter.toLowerCase(),
  );
}

function invalid(errors: SourceError[]): HearthError {
  const [first] = errors;
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
  return new HearthError('MANIFEST_INVALID', `${first?.message ?? 'The manifest is not valid.'}${more}`, { errors });
}
