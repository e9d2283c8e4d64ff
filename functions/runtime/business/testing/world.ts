/** What a run needs around it, without a gateway: a clock that is asked what elapses, and modules one fetch away. */
import type { ExecutionContext, Fetcher, Span, SpanAttributes } from '../../../contract/handlers.ts';
import type { Clock } from '../clock.ts';
import type { AnyComponent } from '../points.ts';
import type { RunContext } from '../run.ts';
import { components } from '../serve.ts';

export interface TestClock extends Clock {
  /** What was waited for, ms, in order. */
  readonly slept: number[];
}

/** Pauses pass at once; what `lasts` says lasts until its signal is aborted. Time is the number of sleeps. */
export function testClock(lasts: (ms: number) => boolean = (ms) => ms >= 10_000): TestClock {
  const slept: number[] = [];
  return {
    slept,
    now: () => slept.length,
    random: () => 0.5,
    sleep(ms, signal) {
      slept.push(ms);
      if (!lasts(ms)) return Promise.resolve(true);
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve(false), { once: true }));
    },
  };
}

export interface SeenSpan {
  id: number;
  parent: number | null;
  name: string;
  error: string | null;
  attributes: SpanAttributes;
}

export interface World extends RunContext {
  readonly clock: TestClock;
  readonly spans: SeenSpan[];
  readonly lines: string[];
}

export function world(env: Record<string, unknown> = {}, changes: Partial<RunContext> = {}): World {
  const spans: SeenSpan[] = [];
  const lines: string[] = [];
  const clock = testClock();
  let begun = 0;
  return {
    env,
    id: 'run-1',
    signal: new AbortController().signal,
    log: logInto(lines),
    lines,
    spans,
    startSpan(name, attributes = {}, parent = null): Span {
      const id = ++begun;
      return {
        id,
        run: (call) => call(),
        end: (error = null, more = {}) =>
          spans.push({ id, parent, name, error, attributes: { ...attributes, ...more } }),
      };
    },
    ...changes,
    clock: (changes.clock as TestClock | undefined) ?? clock,
  };
}

export function logInto(lines: string[]) {
  const write = (...args: unknown[]) => lines.push(args.map(String).join(' '));
  return { debug: write, info: write, warn: write, error: write };
}

/** The context that a handler is called with. */
export function executionContext(changes: Partial<ExecutionContext> = {}): ExecutionContext {
  return {
    waitUntil: () => undefined,
    passThroughOnException: () => undefined,
    props: {},
    exports: {},
    invocationId: 'run-1',
    signal: new AbortController().signal,
    log: logInto([]),
    startSpan: (name) => ({ id: name.length, run: (call) => call(), end: () => undefined }),
    ...changes,
  };
}

/** A service binding to a module that holds these components, with all that JSON and HTTP do to a call. */
export function moduleOf(...list: AnyComponent[]): Fetcher {
  const handler = components(list);
  return {
    fetch: (input, init) => handler.fetch(new Request(input as Request, init), {}, executionContext()),
  };
}
