/** What each command is given beside its own arguments. A command is a function that adds itself to the program. */
import type { Readable } from 'node:stream';
import { styleText } from 'node:util';
import type { Command } from 'commander';
import { type Client, createClient } from './client.ts';
import { type Connection, connectionOf } from './connection.ts';
import { coloured, plain, plainJson } from './output.ts';

export interface World {
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  stdin: Readable & { isTTY?: boolean };
  stdout: { write(data: string | Uint8Array): unknown; isTTY?: boolean };
  stderr: { write(data: string): unknown; isTTY?: boolean };
}

export interface Cli extends World {
  /** The control API of `--url`, else of HEARTH_URL. Nothing is sent before the first call. */
  client(): Client;
  /** Where that is, and with which token. */
  connection(): Connection;
  json(): boolean;
  /** What came of it: the value with --json, else the text. */
  show(value: unknown, text: () => string): void;
  /** One of many that come over time: JSON on one line, or a line of text. */
  line(value: unknown, text: () => string): void;
  /** For a person only, beside the result; says nothing with --json. */
  note(text: string): void;
  /** Coloured on a terminal, unless NO_COLOR is set. */
  paint(format: Format, text: string): string;
}

export type Format = Parameters<typeof styleText>[0];

export type AddCommand = (program: Command, cli: Cli) => void;

export function createCli(program: Command, world: World): Cli {
  const json = () => program.opts<{ json?: true }>().json === true;
  const print = (text: string) => world.stdout.write(`${text}\n`);
  const connection = () => connectionOf({ url: program.opts<{ url?: string }>().url, ...world });
  return {
    ...world,
    json,
    connection,
    client: () => createClient(connection()),
    show: (value, text) => print(json() ? plainJson(value, 2) : coloured(text())),
    line: (value, text) => print(json() ? plainJson(value) : coloured(text())),
    note(text) {
      if (!json()) world.stderr.write(`${plain(text)}\n`);
    },
    paint(format, text) {
      if (world.stdout.isTTY !== true || world.env.NO_COLOR) return text;
      return styleText(format, text, { validateStream: false });
    },
  };
}
