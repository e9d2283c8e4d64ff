/** `hearth profile`: where a running function spends its time, or what it keeps, as a file for the developer tools of Chrome. */
import { createWriteStream } from 'node:fs';
import { lstat, readFile, rm, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { AddCommand, Cli } from '../cli.ts';
import { type Client, segment } from '../client.ts';
import { Failure, UsageError } from '../failure.ts';
import { number } from '../input.ts';
import { bytes } from '../output.ts';
import { type CpuProfile, nameBySources } from '../profile-names.ts';
import { fetchMap } from '../stacks.ts';

interface Options {
  seconds: number;
  heap?: true;
  instance?: string;
  shared?: true;
  output?: string;
}

export const profile: AddCommand = (program, cli) => {
  program
    .command('profile')
    .description('a CPU profile of a running function, or a snapshot of its heap, for the developer tools of Chrome')
    .argument('<function>')
    .option('-s, --seconds <count>', 'how long a CPU profile looks', number, 10)
    .option('--heap', 'a heap snapshot: the base stands still for it, and its host is replaced afterwards')
    .option('--instance <base>', 'this one; by default the busiest')
    .option('--shared', 'also where the base holds modules of other functions')
    .option('-o, --output <file>', 'by default NAME.cpuprofile or NAME.heapsnapshot')
    .action(async (name: string, options: Options) => {
      if (!(options.seconds >= 0.1 && options.seconds <= 60)) {
        throw new UsageError('--seconds takes 0.1 to 60.', 'Take several, one after another, to look longer.');
      }
      const kind = options.heap === true ? 'heap' : 'cpu';
      const file = options.output ?? `${name}.${kind === 'heap' ? 'heapsnapshot' : 'cpuprofile'}`;
      const path = resolve(cli.cwd, file);
      const client = cli.client();
      cli.note(kind === 'heap' ? `${name} stands still meanwhile …` : `looking for ${options.seconds} s …`);
      const taken = await take(client, name, kind, options, path);
      const sources = kind === 'cpu' && (await toSources(client, name, taken.version, path));
      const result = { function: name, kind, file: path, sources, ...taken };
      cli.show(result, () => told(result, cli));
    });
};

interface Taken {
  instance: string;
  version: string;
  bytes: number;
}

async function take(client: Client, name: string, kind: string, options: Options, path: string): Promise<Taken> {
  const { seconds, instance, shared } = options;
  const response = await client.stream('POST', `/v1/functions/${segment(name)}/profile`, {
    json: { kind, seconds, instance: instance ?? null, shared: shared === true },
  });
  let size = 0;
  const counted = async function* (chunks: AsyncIterable<Uint8Array>) {
    for await (const chunk of chunks) {
      size += chunk.length;
      yield chunk;
    }
  };
  // A snapshot holds what the function holds, its secrets too.
  const isNew = await madeRoomAt(path, options.output !== undefined);
  const file = createWriteStream(path, { mode: 0o600, flags: isNew ? 'wx' : 'w' });
  try {
    await pipeline(Readable.fromWeb(response.body as never), counted, file);
  } catch (error) {
    if (isNew) await rm(path, { force: true });
    const why = error instanceof Error ? error.message : String(error);
    throw new Failure(
      `The profile broke off (${why}).`,
      'Look with "hearth pool events" what became of its base.',
      error,
    );
  }
  const header = (key: string) => response.headers.get(key) ?? '';
  return { instance: header('hearth-instance'), version: header('hearth-version'), bytes: size };
}

/**
 * Takes away a file that stands there, which others may read, and a link that nobody named. False: it is something else,
 * which was named to be written to, such as /dev/stdout, and stays.
 */
async function madeRoomAt(path: string, wasNamed: boolean): Promise<boolean> {
  const before = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw new Failure(`${path} cannot be written: ${error.message}.`, null, error);
  });
  if (before === null) return true;
  if (!before.isFile() && (wasNamed || !before.isSymbolicLink())) return false;
  await rm(path);
  return true;
}

/** Whether there was a source map. */
async function toSources(client: Client, name: string, version: string, path: string): Promise<boolean> {
  const map = await fetchMap(client, name, version);
  if (map === null) return false;
  const profile = JSON.parse(await readFile(path, 'utf8')) as CpuProfile;
  nameBySources(profile, name, map);
  await writeFile(path, JSON.stringify(profile));
  return true;
}

function told({ kind, file, bytes: size, instance }: Taken & { kind: string; file: string }, cli: Cli): string {
  const panel = kind === 'heap' ? 'Memory' : 'Performance';
  return `${cli.paint('bold', file)}  ${bytes(size)}, of ${instance}\nOpen it in the developer tools of Chrome: ${panel}, Load.`;
}
