/** `hearth dev --inspect`: a debugger, as VS Code's, stops in the TypeScript source of a function. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { SourceMap, type SourceMapPayload } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { type RunningCommand, running } from '../testing/running.ts';

const SOURCE = `interface Guest {
  name: string;
}

export default {
  fetch(request: Request): Response {
    const guest: Guest = { name: new URL(request.url).pathname.slice(1) };
    return new Response(\`hello \${guest.name}\`);
  },
};
`;
/** From 1: where the answer is made. */
const LINE = 8;

let directory: string;
let dev: RunningCommand;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hearth-cli-inspect-'));
  await mkdir(join(directory, 'greeter/src'), { recursive: true });
  await writeFile(join(directory, 'greeter/src/index.ts'), SOURCE);
  dev = running(['dev', 'greeter', '--inspect=0', '--url', 'http://127.0.0.1:0', '--port', '0'], { cwd: directory });
});

after(async () => {
  await dev?.[Symbol.asyncDispose]();
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
});

test('a breakpoint by the URL of the source is hit, and what stands there can be read', async () => {
  const [, url = ''] = await dev.said(/functions at (\S+),/);
  await dev.said(/greeter {2}deployed/);
  const { debugger_, script } = await debuggerOf('greeter.js');
  await using _closing = debugger_;

  const map = mapOf(script.sourceMapURL);
  const source = pathToFileURL(join(directory, 'greeter/src/index.ts')).href;
  assert.deepEqual([map.sources, map.sourcesContent], [[source], [SOURCE]]);
  const location = { scriptId: script.scriptId, ...generated(map, source, script.endLine) };
  await debugger_.send(script.session, 'Debugger.setBreakpoint', { location });

  const paused = debugger_.event('Debugger.paused');
  const answer = fetch(`${url}/greeter/Ada`);
  const { callFrames } = await paused;
  const { result } = await debugger_.send(script.session, 'Debugger.evaluateOnCallFrame', {
    callFrameId: callFrames[0]?.callFrameId,
    expression: 'guest.name',
  });
  assert.equal(result.value, 'Ada');
  await debugger_.send(script.session, 'Debugger.resume', {});
  assert.equal(await (await answer).text(), 'hello Ada');
});

/** What the protocol answers and tells, as far as it is looked at here. */
interface Told extends Omit<Script, 'session'> {
  url: string;
  sessionId: string;
  message: string;
  callFrames: { callFrameId: string }[];
  result: { value: unknown };
}

interface Script {
  session: string;
  scriptId: string;
  sourceMapURL: string;
  endLine: number;
}

/** Of whichever host has loaded this script: each says where it listens. */
async function debuggerOf(name: string): Promise<{ debugger_: Debugger; script: Script }> {
  let since = 0;
  for (;;) {
    const found = await dev.said(/functions can be debugged at (\S+)\n/, since);
    since += found.index + found[0].length;
    const debugger_ = await Debugger.attach(found[1] ?? '');
    const script = await debugger_.script(name);
    if (script !== undefined) return { debugger_, script };
    debugger_.close();
  }
}

/** The protocol of Node's inspector, with the sessions of worker threads in its NodeWorker domain. */
class Debugger implements AsyncDisposable {
  readonly #socket: WebSocket;
  readonly #answers = new Map<number, PromiseWithResolvers<Told>>();
  readonly #events = new Map<string, PromiseWithResolvers<Told>>();
  readonly #sessions = new Set<string>();
  readonly #scripts: (Script & { url: string })[] = [];
  #lastId = 0;

  static async attach(url: string): Promise<Debugger> {
    const socket = new WebSocket(url);
    const opened = Promise.withResolvers<void>();
    socket.onopen = () => opened.resolve();
    socket.onerror = () => opened.reject(new Error(`no debugger at ${url}`));
    await opened.promise;
    return new Debugger(socket);
  }

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#take(null, JSON.parse(data as string));
  }

  /** Resolves once all scripts of all threads are known. */
  async script(name: string): Promise<Script | undefined> {
    await this.send(null, 'NodeWorker.enable', { waitForDebuggerOnStart: false });
    for (const session of this.#sessions) await this.send(session, 'Debugger.enable', {});
    return this.#scripts.find(({ url }) => url === name);
  }

  event(method: string): Promise<Told> {
    const waiting = Promise.withResolvers<Told>();
    this.#events.set(method, waiting);
    return waiting.promise;
  }

  /** `session`: of a thread; null: to the host itself. */
  send(session: string | null, method: string, params: object): Promise<Told> {
    const id = ++this.#lastId;
    const answer = Promise.withResolvers<Told>();
    this.#answers.set(id, answer);
    const message = JSON.stringify({ id, method, params });
    if (session === null) this.#socket.send(message);
    else void this.send(null, 'NodeWorker.sendMessageToWorker', { sessionId: session, message });
    return answer.promise;
  }

  #take(
    session: string | null,
    message: { id?: number; method?: string; params?: Told; result?: Told; error?: unknown },
  ): void {
    const { id, method = '', params = {} as Told, result = {} as Told, error } = message;
    if (id !== undefined) {
      if (error === undefined) this.#answers.get(id)?.resolve(result);
      else this.#answers.get(id)?.reject(new Error(JSON.stringify(error)));
    } else if (method === 'NodeWorker.attachedToWorker') this.#sessions.add(params.sessionId);
    else if (method === 'NodeWorker.receivedMessageFromWorker') {
      this.#take(params.sessionId, JSON.parse(params.message));
    } else if (method === 'Debugger.scriptParsed' && session !== null) this.#scripts.push({ ...params, session });
    else this.#events.get(method)?.resolve(params);
  }

  close(): void {
    this.#socket.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

function mapOf(url: string): SourceMapPayload {
  return JSON.parse(Buffer.from(url.slice(url.indexOf(',') + 1), 'base64').toString());
}

/** As a debugger does it: the first place in the code that comes from this line. */
function generated(
  payload: SourceMapPayload,
  source: string,
  endLine: number,
): { lineNumber: number; columnNumber: number } {
  const map = new SourceMap(payload);
  for (let lineNumber = 0; lineNumber <= endLine; lineNumber++) {
    for (let columnNumber = 0; columnNumber < 200; columnNumber++) {
      const entry = map.findEntry(lineNumber, columnNumber);
      if ('originalSource' in entry && entry.originalSource === source && entry.originalLine === LINE - 1) {
        return { lineNumber, columnNumber };
      }
    }
  }
  throw new Error(`no code comes from ${source}:${LINE}`);
}
