/**
 * Bytes across threads. Structured clone of a view copies its whole ArrayBuffer, and a small Buffer is a view into
 * Node's shared 64 KB pool: so a message's bytes are copied once, side by side, into one fresh ArrayBuffer, which is
 * then transferred. Large arrays that are known to be nobody else's are transferred as they are.
 */

export interface Packed<T> {
  value: T;
  transfer: ArrayBuffer[];
  bytes: number;
}

/** Above this an array that owns its buffer alone is transferred rather than copied. */
const TRANSFER_BYTES = 64 * 1024;

/**
 * `ours`: nobody else reads the arrays in `value` any more, so that large ones may be taken away. The given value is
 * never changed; what holds no bytes is passed on as it is.
 */
export function packBytes<T>(value: T, ours: boolean): Packed<T> {
  const arrays: Uint8Array[] = [];
  collect(value, arrays);
  if (arrays.length === 0) return { value, transfer: [], bytes: 0 };

  const moved = new Map<Uint8Array, Uint8Array>();
  const transfer = new Set<ArrayBuffer>();
  let bytes = 0;
  let packedBytes = 0;
  for (const array of arrays) {
    bytes += array.byteLength;
    if (ours && array.byteLength >= TRANSFER_BYTES && ownsBuffer(array)) {
      moved.set(array, array);
      transfer.add(array.buffer);
    } else if (!moved.has(array)) {
      moved.set(array, array);
      packedBytes += array.byteLength;
    }
  }
  const packed = new ArrayBuffer(packedBytes);
  transfer.add(packed);
  let offset = 0;
  for (const array of moved.keys()) {
    if (transfer.has(array.buffer as ArrayBuffer)) continue;
    const copy = new Uint8Array(packed, offset, array.byteLength);
    copy.set(array);
    moved.set(array, copy);
    offset += array.byteLength;
  }
  return { value: replace(value, moved) as T, transfer: [...transfer], bytes };
}

function ownsBuffer(array: Uint8Array): array is Uint8Array<ArrayBuffer> {
  return array.buffer instanceof ArrayBuffer && array.byteLength === array.buffer.byteLength;
}

function collect(value: unknown, into: Uint8Array[]): void {
  if (typeof value !== 'object' || value === null) return;
  if (value instanceof Uint8Array) into.push(value);
  else for (const inner of Array.isArray(value) ? value : Object.values(value)) collect(inner, into);
}

/** A copy of what leads to bytes; everything else is shared with the original. */
function replace(value: unknown, moved: Map<Uint8Array, Uint8Array>): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array) return moved.get(value) ?? value;
  if (Array.isArray(value)) {
    const copies = value.map((inner) => replace(inner, moved));
    return copies.some((copy, i) => copy !== value[i]) ? copies : value;
  }
  const entries = Object.entries(value);
  const copies = entries.map(([key, inner]) => [key, replace(inner, moved)] as const);
  return copies.some(([, copy], i) => copy !== entries[i]?.[1]) ? Object.fromEntries(copies) : value;
}
