/** What commands take from their arguments, from files and from standard input. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { InvalidArgumentError } from 'commander';
import type { World } from './cli.ts';
import { Failure, UsageError } from './failure.ts';

/** For options that may be given several times. */
export function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}

/** Reads the argument of an option. Throws what commander tells as usage. */
export function number(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It has to be a number.');
  return value;
}

/** As `number`, above 0. */
export function positive(text: string): number {
  const value = number(text);
  if (value <= 0) throw new InvalidArgumentError('It has to be above 0.');
  return value;
}

/** `"name: value"`, as curl's -H has it. @throws UsageError */
export function headersOf(given: readonly string[]): Record<string, string[]> {
  const headers: Record<string, string[]> = {};
  for (const header of given) {
    const [, name, value] = /^([^:\s]+):\s*(.*)$/.exec(header) ?? [];
    if (name === undefined || value === undefined) {
      throw new UsageError(`${JSON.stringify(header)} is no header; write "name: value".`);
    }
    headers[name] = [...(headers[name] ?? []), value];
  }
  return headers;
}

/** `name=value`. @throws UsageError */
export function pair(text: string, what: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1) throw new UsageError(`${JSON.stringify(text)} is not ${what}.`);
  return [text.slice(0, at), text.slice(at + 1)];
}

/** `@path` is a file's text, `@-` all of standard input, anything else itself: as curl's --data has it. */
export async function textOf(given: string, world: World): Promise<string> {
  if (!given.startsWith('@')) return given;
  return given === '@-' ? await allOf(world) : await fileText(resolve(world.cwd, given.slice(1)));
}

/** A JSON file; `-` is standard input. @throws Failure */
export async function jsonOf(path: string, world: World): Promise<unknown> {
  const text = path === '-' ? await allOf(world) : await fileText(resolve(world.cwd, path));
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Failure(`${path === '-' ? 'Standard input' : path} is not JSON: ${(error as Error).message}.`);
  }
}

/** One line, asked for on a terminal. @throws Failure when there is none. */
export async function lineOf(prompt: string, world: World): Promise<string> {
  const line = createInterface({ input: world.stdin, output: world.stderr as NodeJS.WritableStream });
  try {
    return await line.question(prompt);
  } catch (error) {
    if ((error as Error).name !== 'AbortError') throw error;
    throw new Failure('Given up before there was an answer.', null, error);
  } finally {
    line.close();
  }
}

/** Typed where nobody sees it, or piped; the end of its last line does not belong to it. */
export async function secretOf(prompt: string, world: World): Promise<string> {
  if (world.stdin.isTTY !== true) return (await allOf(world)).replace(/\r?\n$/, '');
  const unseen = new Writable({ write: (_chunk, _encoding, done) => done() });
  // Before the prompt: from here on the terminal itself shows nothing of what is typed.
  const line = createInterface({ input: world.stdin, output: unseen, terminal: true });
  world.stderr.write(prompt);
  try {
    return await line.question('');
  } catch (error) {
    if ((error as Error).name !== 'AbortError') throw error;
    throw new Failure('Given up before a value was there.', null, error);
  } finally {
    line.close();
    world.stderr.write('\n');
  }
}

async function allOf({ stdin }: World): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stdin) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString('utf8');
}

async function fileText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new Failure(`${path} cannot be read: ${(error as Error).message}.`, null, error);
  }
}
