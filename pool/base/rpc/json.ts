/** Results for callers that speak JSON alone. */
import { isTarget } from './members.ts';

/**
 * As JSON.stringify, and: nothing becomes null, a Map an object, a Set an array, a big integer a string, bytes base64.
 * Throws TypeError for what stands elsewhere and for streams.
 */
export function toJson(value: unknown): string {
  return JSON.stringify(value, replace) ?? 'null';
}

function replace(this: unknown, key: string, json: unknown): unknown {
  if (typeof json === 'bigint') return String(json);
  // Before toJSON: a Buffer is bytes as well.
  const value = (this as Record<string, unknown>)[key];
  if (typeof value === 'function' || isLive(value)) {
    throw new TypeError('The result is not one that JSON can hold: it has functions, streams or objects to be called.');
  }
  if (value instanceof Map) return Object.fromEntries(value);
  if (value instanceof Set) return [...value];
  if (value instanceof ArrayBuffer) return Buffer.from(value).toString('base64');
  if (ArrayBuffer.isView(value)) {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
  }
  return json;
}

function isLive(value: unknown): boolean {
  if (isTarget(value) || value instanceof ReadableStream || value instanceof WritableStream) return true;
  return value instanceof Request || value instanceof Response;
}
