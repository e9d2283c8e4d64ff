import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Peer } from './peer.ts';
import { endServer, freePort, startServer } from './process.ts';

const COMPATIBILITY_DATE = '2026-06-01';

const HELLO = `export default { fetch: () => new Response('hello') };`;

/**
 * Loads a worker by the id in the path, from code nobody has seen: the source with the id written into it. `get` keeps
 * workers by id, so an id that is asked once is a cold start each time.
 */
const LOADER_HOST = `
import source from 'source';
// Cut once: the search is no part of a cold start.
const parts = source.split('UNIQUE');
export default {
  fetch(request, env) {
    const id = new URL(request.url).pathname.slice(1);
    const worker = env.LOADER.get(id, () => ({
      compatibilityDate: '${COMPATIBILITY_DATE}',
      mainModule: 'main.js',
      modules: { 'main.js': parts.join(id) },
      env: {},
      globalOutbound: null,
    }));
    return worker.getEntrypoint().fetch(request);
  },
};`;

/** A worker that is there from the start. */
export function startWorkerd(): Promise<Peer> {
  return start('workerd', { 'main.js': HELLO }, '(name = "main", esModule = embed "main.js")', '');
}

/** A worker that loads `source` (an ES module, `UNIQUE` in it replaced) anew for each path it is asked for. */
export function startWorkerdLoader(source: string): Promise<Peer> {
  return start(
    'workerd dynamic worker',
    { 'main.js': LOADER_HOST, source },
    '(name = "main", esModule = embed "main.js"), (name = "source", text = embed "source")',
    '(name = "LOADER", workerLoader = (id = "bench"))',
  );
}

async function start(name: string, files: Record<string, string>, modules: string, bindings: string): Promise<Peer> {
  const directory = await mkdtemp(join(tmpdir(), 'hearth-bench-'));
  const port = await freePort();
  const config = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main)],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [${modules}],
  bindings = [${bindings}],
  compatibilityDate = "${COMPATIBILITY_DATE}",
);
`;
  for (const [path, text] of Object.entries({ ...files, 'config.capnp': config })) {
    await writeFile(join(directory, path), text);
  }
  try {
    // The binary itself: the package's `bin` is a Node script that would stand between us and the process.
    const child = await startServer(binary(), ['serve', '--experimental', join(directory, 'config.capnp')], port);
    return {
      name,
      port,
      path: '/',
      pid: child.pid ?? 0,
      async [Symbol.asyncDispose]() {
        await endServer(child);
        await rm(directory, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

function binary(): string {
  const main = createRequire(import.meta.url)('workerd') as { default: string };
  return main.default;
}
