/**
 * @opentelemetry/api finds what is behind it at one symbol of the global object, whatever copy of it a function was bundled
 * with. So functions need no SDK: what they record goes to the gateway, which exports it with the rest of the trace.
 */
import { contextManager } from './context.ts';
import { propagator } from './propagation.ts';
import { tracerProvider } from './tracer.ts';

const KEY = Symbol.for('opentelemetry.js.api.1');

/** A copy of the API takes what says to be of its own minor version or a later one. */
const VERSION = '1.999.0';

export function installOpenTelemetry(target: object): void {
  const api = { version: VERSION, trace: tracerProvider, context: contextManager, propagation: propagator };
  // Writable, as each copy assigns what it finds there when a function registers something of its own.
  Object.defineProperty(target, KEY, { value: api, writable: true, configurable: true, enumerable: false });
}
