/**
 * Descriptor numbers, Unix sockets, and ports to listen on.
 *
 * Descriptors belong to the process: a number could name the link of another base. `net.Socket({fd})`,
 * `net.connect({fd})`, `server.listen({fd})`, `http.request({fd})` and a socket's own `_handle` all come down to `open`
 * of the native handle, so it is refused there, for every library of the base. The other thing that takes a number is
 * Node's FileHandle: whoever clones an object of his own may say that a FileHandle is to be made of it.
 *
 * A Unix socket is a file of the machine (a database's, Docker's, the gateway's own), and modules see no files:
 * connecting to one, or making one, answers EACCES. The link is connected before.
 *
 * Listening on TCP answers EACCES as well: on [::1] with the number of Hearth's own port, a function would be what
 * `localhost` means to the next client, and be shown the admin token. `node:http` servers bind nothing (node-http.ts).
 */
import dgram from 'node:dgram';
import net from 'node:net';
import { constants } from 'node:os';
import { refusal } from './denied.ts';

/** `pipe`: any socket of a Unix path that has been connected. */
export function sealSockets(pipe: net.Socket): void {
  seal(handleOf(pipe), 'open', refusal('A socket from a descriptor number'));
  for (const name of ['connect', 'bind', 'listen', 'fchmod']) seal(handleOf(pipe), name, () => -constants.errno.EACCES);
  // A handle is made when connecting begins; destroyed within the same tick, nothing is connected.
  const tcp = net.connect({ host: '127.0.0.1', port: 1 });
  seal(handleOf(tcp), 'open', refusal('A socket from a descriptor number'));
  seal(handleOf(tcp), 'listen', () => -constants.errno.EACCES);
  tcp.destroy();
  const udp = dgram.createSocket('udp4');
  for (const symbol of Object.getOwnPropertySymbols(udp)) {
    const state = (udp as unknown as Record<symbol, { handle?: object } | undefined>)[symbol];
    if (typeof state?.handle === 'object') seal(state.handle, 'open', refusal('A socket from a descriptor number'));
  }
  udp.close();
}

/**
 * Takes from Node's FileHandle what makes one of a cloned object. The class itself is found that very way: opening a
 * file would keep the boot waiting for a thread of libuv. Where it cannot be found so, nobody else finds it either.
 */
export function sealFileHandles(): void {
  const carrier = new Blob([]) as unknown as Record<symbol, unknown>;
  const symbols = Object.getOwnPropertySymbols(Blob.prototype);
  const clone = symbols.find(({ description }) => description === 'messaging_clone_symbol');
  const deserialize = symbols.find(({ description }) => description === 'messaging_deserialize_symbol');
  if (clone === undefined || deserialize === undefined) throw new Error('Cloning works in a way that is not known.');
  carrier[clone] = () => ({ data: { handle: { fd: -1 } }, deserializeInfo: 'internal/fs/promises:FileHandle' });
  const found: unknown = structuredClone(carrier);
  const prototype: unknown = Object.getPrototypeOf(found);
  if (typeof prototype !== 'object' || prototype === null) throw new Error('There is no FileHandle to be sealed.');
  Object.defineProperty(prototype, deserialize, { value: undefined, writable: false, configurable: false });
}

function handleOf(socket: net.Socket): object {
  const handle = (socket as unknown as { _handle?: object | null })._handle;
  if (typeof handle !== 'object' || handle === null) throw new Error('The socket has no handle to be sealed.');
  return handle;
}

function seal(handle: object, name: string, value: () => unknown): void {
  for (let proto = Object.getPrototypeOf(handle); proto !== null && proto !== Object.prototype; ) {
    if (Object.hasOwn(proto, name)) {
      Object.defineProperty(proto, name, { value, writable: false, configurable: false });
      return;
    }
    proto = Object.getPrototypeOf(proto);
  }
  throw new Error(`The handle has no ${name} to be sealed.`);
}
