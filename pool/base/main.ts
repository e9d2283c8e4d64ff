/** A base: one thread, one link, one lease. The promise of `run` never resolves; the host ends the thread. */
import net from 'node:net';
import process from 'node:process';
import { monotonicMs, PROTOCOL_VERSION } from '../../functions/contract/invocation.ts';
import { BodyGarbage } from '../link/body-garbage.ts';
import { connectLink } from '../link/connection.ts';
import { DirectCalls } from './bindings/direct.ts';
import { bindingObjects } from './bindings/env.ts';
import { LogBuffer } from './console.ts';
import { currentInvocation, currentScope } from './context.ts';
import { Deadlines } from './deadlines.ts';
import { describeThrown } from './describe.ts';
import { loadLibraries } from './libraries.ts';
import { invocationLogger, sourceOf } from './logger.ts';
import { Meter } from './meter.ts';
import { Modules } from './modules.ts';
import { createNodeHttp } from './node-http.ts';
import { Peers } from './peers.ts';
import { requirePermissions } from './policy/permissions.ts';
import { Policy } from './policy/policy.ts';
import { type Capnweb, mostMessageBytes } from './rpc/session.ts';
import type { RunHost } from './run.ts';
import { Session } from './session.ts';
import { InvocationSpans } from './spans.ts';
import type { BaseTask } from './task.ts';
import { installWorkersGlobals } from './web/workers-globals.ts';

/** Rejects only when the base could not boot. */
export default async function run(task: BaseTask): Promise<never> {
  requirePermissions();
  const meter = new Meter(task.gauges);
  const socket = net.connect(task.socketPath);
  try {
    await boot(task, socket, meter);
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return new Promise<never>(() => undefined);
}

/** Resolves when the base has said hello. */
async function boot(task: BaseTask, socket: net.Socket, meter: Meter): Promise<void> {
  const exitThread = process.exit.bind(process);
  const connected = new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });

  // While the socket connects: what every function would otherwise pay for on its first call.
  const libraries = loadLibraries(task);
  new Request('http://warm/', { headers: [['a', 'b']] }).headers.get('a');
  new Response('warm').headers.has('a');
  await connected;

  const log = new LogBuffer({
    send: (event) => session.sendNow(event),
    now: Date.now,
    source: () => sourceOf(policy.scope().module, currentInvocation.getStore()),
  });
  const policy: Policy = new Policy({
    log,
    current: currentInvocation.getStore,
    scope: currentScope,
    socket,
    filesDir: task.filesDir,
    env: task.env,
    exit: (code) => {
      log.flush();
      session.break(`process.exit(${code}) was called`);
      return exitThread(1);
    },
    replaced: new Map([
      ['http', () => nodeHttp.http()],
      ['https', () => nodeHttp.https()],
    ]),
  });
  const nodeHttp = createNodeHttp({
    real: process.getBuiltinModule.bind(process),
    module: () => policy.scope().module,
  });
  // A shared library that holds node:http already (Express) finds its servers captured as well.
  if (libraries.usesHttp) nodeHttp.http();
  const deadlines = new Deadlines(monotonicMs);
  // Most bases never need it: it is compiled where the first call by method is made or taken. The bundle holds it.
  const capnweb = () => require('capnweb') as Capnweb;
  const host: Omit<RunHost, 'settled'> = {
    deadlines,
    capnweb,
    now: monotonicMs,
    logger: (invocation) => invocationLogger(log, invocation),
    spans: ({ head, invocationId }) =>
      new InvocationSpans(
        { module: head.module, invocationId, traceparent: head.traceparent },
        { send: (event) => session.send(event), now: monotonicMs },
      ),
    waitUntilFailed: (invocation, error) =>
      invocationLogger(log, invocation).error(`waitUntil: ${describeThrown(error).stack}`),
  };
  const peers = new Peers({
    module: (name) => modules.get(name),
    used: (names, calls, failed) => session.send({ event: 'used', modules: names, calls, failed }),
  });
  let background = 0;
  const direct = new DirectCalls({
    peers,
    host,
    turnTo: (place) => meter.turnTo(place),
    newId: () => `${task.base}-${++background}`,
  });
  const modules: Modules = new Modules({
    policy,
    log,
    nodeHttp,
    http: () => nodeHttp.http(),
    shared: libraries.shared,
    setup: libraries.setup,
    bindings: (head) =>
      bindingObjects(
        head.bindings,
        {
          link: () => link,
          module: head.module,
          invocation: currentInvocation.getStore,
        },
        Date.now,
        { capnweb, mostMessageBytes: mostMessageBytes(head.memoryMb) },
        head.group === undefined ? null : direct,
      ),
  });
  const session: Session = new Session({
    modules,
    peers,
    meter,
    host,
    ended: () => {
      deadlines.stop();
      socket.destroy();
    },
  });
  process.on('unhandledRejection', (reason) =>
    log.write('error', `Unhandled rejection: ${describeThrown(reason).stack}`),
  );
  process.on('uncaughtException', (error) => {
    const described = describeThrown(error);
    log.write('error', `Uncaught exception: ${described.stack}`);
    session.break(`Uncaught exception: ${described.message}`);
  });
  const link = connectLink(socket, session, {
    side: 'connect',
    flush: 'tick',
    garbage: new BodyGarbage(() => meter.collectYoung()),
  });
  session.attach(link);
  policy.install();
  installWorkersGlobals();
  meter.install();
  session.sendNow({ event: 'hello', protocol: PROTOCOL_VERSION, base: task.base, token: task.token });
}
