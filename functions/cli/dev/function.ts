/** One project that is worked on: deployed in place with each save, and what it does told as it comes. */
import { statSync } from 'node:fs';
import { dirname, isAbsolute, join, relative } from 'node:path';
import { HearthError, type Problem, toProblem } from '../../contract/errors.ts';
import type { Client } from '../client.ts';
import { ApiFailure, Failure } from '../failure.ts';
import type { LogLine } from '../log-line.ts';
import { type Deployed, deployProject, type ProjectOptions, readProject } from '../project.ts';
import type { Stacks } from '../stacks.ts';
import { type Call, follow } from './follow.ts';
import { createRerun } from './rerun.ts';
import { watchProject } from './watch.ts';

export interface DevFunctionOptions {
  /** Absolute. */
  path: string;
  isDirectory: boolean;
  /** What paths are shown from. */
  cwd: string;
  project: ProjectOptions;
  client: Client;
  stacks: Stacks;
  teller: DevTeller;
}

export interface DevTeller {
  /** `tookMs`: from the first change that was seen, or from the beginning. */
  deployed(deployed: Deployed, tookMs: number): void;
  /** The version before serves on. */
  failed(path: string, error: unknown): void;
  line(name: string, line: LogLine): void;
  call(name: string, call: Call): void;
}

export interface DevFunction {
  /** Resolves when the first deploy has come to its end, well or not. */
  begun: Promise<void>;
  end(): Promise<void>;
}

/** Between an editor's emptying a file and its having written it lies less than a millisecond. */
const SETTLE_MS = 8;

export function developFunction(options: DevFunctionOptions): DevFunction {
  const { path, isDirectory, cwd, project, client, stacks, teller } = options;
  const directory = isDirectory ? path : dirname(path);
  const shown = (source: string) => relative(cwd, isAbsolute(source) ? source : join(directory, source)) || source;
  const ending = new AbortController();
  let changedAt = performance.now();
  let last: { version: string } | 'failed' | null = null;
  let following: Promise<void> | null = null;

  async function deploy(): Promise<void> {
    const since = changedAt;
    changedAt = 0;
    try {
      const read = await readProject(path, project, client);
      watching.also(read.outside);
      const deployed = await deployProject(read, client);
      const isSame = last !== null && last !== 'failed' && last.version === deployed.version;
      last = deployed;
      // Before it is told that the function serves: whoever calls it then sees the call here.
      if (following === null) await begunToFollow(deployed.name);
      if (!isSame) teller.deployed(deployed, performance.now() - since);
    } catch (error) {
      last = 'failed';
      teller.failed(path, withPlaces(error, shown));
    }
  }

  /** Resolves when what it does is told from now on, or cannot be. */
  async function begunToFollow(name: string): Promise<void> {
    await new Promise<void>((resolve) => {
      following = followed(name, resolve).finally(resolve);
    });
  }

  async function followed(name: string, opened: () => void): Promise<void> {
    const follower = {
      line: async (line: LogLine) => {
        const message = await stacks.mapped(name, line.version, line.message, shown);
        teller.line(name, { ...line, message });
      },
      call: (call: Call) => teller.call(name, call),
    };
    // Deleted behind our back, for one: the next deploy brings it back.
    await follow(client, name, { ...follower, opened }, ending.signal).catch((error: unknown) => {
      teller.failed(path, error);
      following = null;
    });
  }

  const rerun = createRerun(deploy, SETTLE_MS);
  const watching = watchProject(path, isDirectory, () => {
    if (changedAt === 0) changedAt = performance.now();
    rerun.changed();
  });
  return {
    begun: deploy(),
    async end() {
      watching.close();
      ending.abort();
      await rerun.end();
      await following;
    },
  };
}

/** @throws Failure when it is not there. */
export function isDirectoryAt(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (error) {
    throw new Failure(`${path} cannot be read: ${(error as Error).message}.`, null, error);
  }
}

/** Files of a problem as they are found from here. */
function withPlaces(error: unknown, shown: (source: string) => string): unknown {
  const problem: Problem | null =
    error instanceof ApiFailure ? error.problem : error instanceof HearthError ? toProblem(error) : null;
  if (problem?.errors === undefined) return error;
  const errors = problem.errors.map((one) => (one.file === undefined ? one : { ...one, file: shown(one.file) }));
  return new ApiFailure({ ...problem, errors });
}
