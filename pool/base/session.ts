/** The base's end of the link: loads and invocations come in, answers and events go out. */
import process from 'node:process';
import type { BaseEvent, GatewayEvent, InvokeHead, LoadedHead, LoadHead } from '../../functions/contract/invocation.ts';
import { monotonicMs } from '../../functions/contract/invocation.ts';
import type { Exchange, ExchangeHandler, Link, LinkError, LinkHandler } from '../link/link.ts';
import { STREAM_CREDIT } from '../link/stream.ts';
import { Invocation } from './context.ts';
import type { Watched } from './deadlines.ts';
import { describeThrown, headline } from './describe.ts';
import type { Meter } from './meter.ts';
import { ModuleSource } from './module-source.ts';
import type { Modules, Taken } from './modules.ts';
import type { Peers } from './peers.ts';
import { Run, type RunHost } from './run.ts';

/** Half of what a stream may have on its way. */
const CREDIT_PORTION = STREAM_CREDIT / 2;

/** `flush`: writes what is pending before any other code runs. */
export type FlushingLink = Link & { flush(): void };

export interface SessionOptions {
  modules: Modules;
  /** Hears who serves the calls of neighbours. */
  peers: Peers;
  /** Hears what runs. */
  meter: Meter;
  /** Deadlines, clock, logs: what invocations need. `settled` is told to the session as well. */
  host: Omit<RunHost, 'settled'>;
  /** The base has come to its end; called once. */
  ended(): void;
}

export class Session implements LinkHandler {
  readonly #options: SessionOptions;
  readonly #host: RunHost;
  readonly #loading = new Map<string, Run[]>();
  /** Why modules were refused: the invocation sent along with a load comes after the load has failed. */
  readonly #refused = new Map<string, LinkError>();
  #link: FlushingLink | null = null;
  /** Invocations to be started when the frames of this read have all been seen. */
  #starting: Run[] = [];
  /** Invocations that were taken and have not come to their end. */
  #inFlight = 0;
  /** Ids of those whose exchange was taken back, and that run still. */
  readonly #abandoned = new Set<string>();
  #draining = false;
  #broken = false;
  /** Several modules stand here, or may. */
  #grouped = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#host = {
      ...options.host,
      settled: (invocation, timedOut, announced) => this.#settled(invocation, timedOut, announced),
    };
  }

  attach(link: FlushingLink): void {
    this.#link = link;
  }

  send(event: BaseEvent): void {
    this.#link?.event(event);
  }

  /** Sends, and lets nothing else run before it is on its way. */
  sendNow(event: BaseEvent): void {
    this.send(event);
    this.#link?.flush();
  }

  /** Something has gone so wrong that this base must take nothing new. */
  break(reason: string): void {
    if (this.#broken) return;
    this.#broken = true;
    this.sendNow({ event: 'broken', reason });
  }

  opened(head: unknown, exchange: Exchange): void {
    const opening = head as LoadHead | InvokeHead;
    switch (opening.kind) {
      case 'load':
        exchange.handler = this.#loader(opening, exchange);
        return;
      case 'invoke':
        this.#invoke(opening, exchange);
        return;
      default:
        exchange.cancel({ code: 'INTERNAL', message: 'The base knows no such opening.' });
    }
  }

  event(message: unknown): void {
    const event = message as GatewayEvent;
    switch (event.event) {
      case 'drain':
        this.#draining = true;
        this.#endWhenIdle();
        return;
      case 'unload':
        this.#unload(event.module);
        // Of a base that is leased the meter knows.
        this.#options.meter.rehearsed();
        return;
      case 'abandoned':
        if (!this.#runs(event.invocationId)) this.#sendSettled(event.invocationId, false);
        return;
      case 'peer':
        this.#options.peers.serve(event.function, event.module);
        return;
      default:
        event satisfies never;
    }
  }

  closed(): void {
    this.#options.ended();
  }

  #invoke(head: InvokeHead, exchange: Exchange): void {
    const { meter } = this.#options;
    this.#inFlight++;
    meter.enter();
    const run = new Run(head, exchange, {
      neverStarted: () => this.#oneEnded(),
      abandoned: (invocationId) => this.#abandoned.add(invocationId),
      active: (stream) => this.#active(stream, head.module),
    });
    exchange.handler = run;
    if (this.#broken) {
      run.refuse({ code: 'FUNCTION_CRASHED', message: 'The base is broken and takes nothing new.' });
    } else if (this.#options.modules.get(head.module) !== undefined) {
      this.#startSoon(run);
    } else {
      const waiting = this.#loading.get(head.module);
      if (waiting !== undefined) waiting.push(run);
      else
        run.refuse(
          this.#refused.get(head.module) ?? { code: 'INTERNAL', message: `The base holds no module ${head.module}.` },
        );
    }
  }

  #startSoon(run: Run): void {
    this.#starting.push(run);
    // A tick callback runs when the whole read has been parsed, so one event names all streams of it.
    if (this.#starting.length === 1) process.nextTick(this.#startAll);
  }

  readonly #startAll = (): void => {
    const runs = this.#starting.filter((run) => run.startable);
    this.#starting = [];
    if (runs.length === 0) return;
    // Written before any handler runs: one that loops for ever must not hold back that it was started.
    this.sendNow({ event: 'started', streams: runs.map((run) => run.exchange.id) });
    for (const run of runs) {
      const module = this.#options.modules.get(run.invoke.module);
      if (module === undefined) run.refuse({ code: 'INTERNAL', message: 'The module was unloaded.' });
      else {
        this.#active(run.exchange.id, run.invoke.module);
        run.start(module, this.#host);
      }
    }
  };

  #active(stream: number, module: string): void {
    const { meter, modules } = this.#options;
    meter.active(stream);
    if (this.#grouped) meter.turnTo(modules.get(module)?.head.group?.place ?? 0);
  }

  #unload(module: string): void {
    const { modules, meter } = this.#options;
    modules.remove(module);
    meter.left(module);
    if (this.#grouped) meter.tidySoon();
    this.#refused.delete(module);
  }

  #loader(head: LoadHead, exchange: Exchange): ExchangeHandler {
    if (head.group !== undefined) this.#grouped = true;
    const source = new ModuleSource(head);
    let unreturned = 0;
    this.#loading.set(head.module, []);
    this.#refused.delete(head.module);
    return {
      head: () => undefined,
      data: (chunk) => {
        source.push(chunk);
        unreturned += chunk.length;
        // Each return of credit costs a write; what is left over is returned by the end.
        if (unreturned < CREDIT_PORTION) return;
        exchange.consumed(unreturned);
        unreturned = 0;
      },
      end: () => this.#load(head, exchange, source),
      drain: () => undefined,
      closed: (error) => {
        if (error !== null) this.#refuseWaiting(head.module, error);
      },
    };
  }

  #load(head: LoadHead, exchange: Exchange, source: ModuleSource): void {
    const receivedAt = monotonicMs();
    const { meter } = this.#options;
    // In a rehearsal both are 0 and change nothing; it is there that this is first compiled.
    meter.leased(head.module, head.memoryMb, head.cpuMs);
    meter.enter();
    if (head.group !== undefined) meter.turnTo(head.group.place);
    const loaded = (taken: Taken): void => {
      const answer: LoadedHead = {
        kind: 'loaded',
        ...taken.times,
        handlers: taken.module.handlers,
        cacheUsed: taken.cacheUsed,
      };
      meter.leave();
      exchange.sendHead(answer, taken.codeCache, true);
      const waiting = this.#loading.get(head.module) ?? [];
      this.#loading.delete(head.module);
      for (const run of waiting) this.#startSoon(run);
    };
    const failed = (error: unknown): void => {
      const described = describeThrown(error);
      meter.leave();
      const refusal: LinkError = { code: 'PROBE_FAILED', message: headline(described), stack: described.stack };
      this.#refused.set(head.module, refusal);
      this.#refuseWaiting(head.module, refusal);
      exchange.cancel(refusal);
    };
    try {
      const taken = this.#options.modules.load(head, source.text(), source.codeCache, receivedAt);
      if (taken instanceof Promise) taken.then(loaded).catch(failed);
      else loaded(taken);
    } catch (error) {
      failed(error);
    }
  }

  #refuseWaiting(module: string, error: LinkError): void {
    const waiting = this.#loading.get(module) ?? [];
    this.#loading.delete(module);
    for (const run of waiting) run.refuse(error);
  }

  #settled(invocation: Invocation, timedOut: boolean, announced: boolean): void {
    const { invocationId } = invocation;
    if (this.#abandoned.size > 0) this.#abandoned.delete(invocationId);
    if (announced) this.#sendSettled(invocationId, timedOut);
    this.#oneEnded();
  }

  #sendSettled(invocationId: string, timedOut: boolean): void {
    this.send({ event: 'settled', invocationId, timedOut });
  }

  /** Of one whose exchange is over: whether its handler, or what it gave to `waitUntil`, goes on. */
  #runs(invocationId: string): boolean {
    if (this.#abandoned.has(invocationId)) return true;
    const waits = (each: Watched) => each instanceof Invocation && each.invocationId === invocationId;
    return this.#options.host.deadlines.some(waits);
  }

  #oneEnded(): void {
    this.#inFlight--;
    this.#options.meter.leave();
    this.#endWhenIdle();
  }

  #endWhenIdle(): void {
    if (!this.#draining || this.#inFlight > 0) return;
    // After what is still to be written in this turn.
    setImmediate(() => {
      this.#link?.flush();
      this.#link?.destroy('drained');
    });
  }
}
