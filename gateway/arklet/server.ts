/**
 * The listener of arklet's API. Who asks is known by a token, as `authorization: Bearer TOKEN`, or as the password of
 * `authorization: Basic`, which is what a client makes of `http://any:TOKEN@host`: arkctl's `--host` takes that.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { HearthError, toHearthError } from '../../functions/contract/errors.ts';
import { isTooDeep } from '../../pool/link/json-depth.ts';
import type { Caller } from '../control/access.ts';
import { createListener, type Listener } from '../control/listener.ts';
import { tooDeep } from '../control/problems.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Command } from './commands.ts';
import { type ArkletResponse, failure } from './protocol.ts';

export interface ServerParts {
  host: string;
  port: number;
  commands: ReadonlyMap<string, Command>;
  /** `authorization`: as Bearer. Rejects with UNAUTHORIZED. */
  authenticate(authorization: string | undefined, socket: Socket): Promise<Caller>;
  log: Pick<Logger, 'error'>;
}

/** As arklet's own. */
const MAX_BODY_BYTES = 1024 * 1024;
/** For a whole request to come in; answers may take as long as an installation takes. */
const REQUEST_MS = 30_000;

export function createArkletServer({ host, port, commands, authenticate, log }: ServerParts): Listener {
  const server = createServer({ requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS }, (request, response) => {
    handle(request).then(
      (answer) => send(response, answer),
      (thrown: unknown) => {
        const error = toHearthError(thrown);
        if (error.code === 'INTERNAL') {
          log.error('an arklet command failed', { path: request.url, error: error.cause ?? error });
        }
        send(response, { status: error.code === 'UNAUTHORIZED' ? 401 : 200, body: failure(error) });
      },
    );
  });

  async function handle(request: IncomingMessage): Promise<{ status: number; body: ArkletResponse }> {
    // Whatever page somebody visits can make their browser post here, and browsers say from where. Tools do not.
    if (request.headers.origin !== undefined || request.headers['sec-fetch-site'] !== undefined) {
      throw new HearthError('FORBIDDEN', 'This port is for tools, not for browsers.');
    }
    const caller = await authenticate(bearerOf(request.headers.authorization), request.socket);
    if (request.method !== 'POST') {
      return { status: 405, body: { code: 'FAILED', message: 'POST http request only supported by arklet' } };
    }
    const name = (request.url ?? '').replace(/\?.*$/s, '').slice(1);
    const command = commands.get(name);
    if (command === undefined) {
      return {
        status: 200,
        body: { code: 'CMD_NOT_FOUND', message: 'please follow the doc: POST /help lists all commands' },
      };
    }
    return { status: 200, body: await command.run(caller, parseBody(await bodyOf(request))) };
  }

  return createListener(server, host, port);
}

function send(response: ServerResponse, { status, body }: { status: number; body: ArkletResponse }): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': bytes.length,
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-store',
    // Not Basic, though it is taken: a browser would ask its user for it, and then send it with any page's request.
    ...(status === 401 ? { 'www-authenticate': 'Bearer realm="hearth"' } : {}),
    // What was not read of a refused request is not read as the next one.
    ...(response.req.complete ? {} : { connection: 'close' }),
  });
  response.end(bytes);
}

function bearerOf(authorization: string | undefined): string | undefined {
  const basic = /^Basic +([A-Za-z0-9+/=_-]+) *$/i.exec(authorization ?? '')?.[1];
  if (basic === undefined) return authorization;
  const pair = Buffer.from(basic, 'base64').toString();
  return `Bearer ${pair.slice(pair.indexOf(':') + 1)}`;
}

/** Not by iteration: leaving that in the middle would destroy the connection that the answer goes over. */
function bodyOf(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= MAX_BODY_BYTES) chunks.push(chunk);
      else {
        request.pause();
        reject(new HearthError('PAYLOAD_TOO_LARGE', 'The body may have 1 MB.'));
      }
    });
    request.on('end', () => resolve(Buffer.concat(chunks)));
    request.on('error', reject);
  });
}

/** Whatever its content type: kubectl's curl sends a form's, and module-controller plain text. No body: no parameters. */
function parseBody(bytes: Buffer): unknown {
  const text = bytes.toString().trim();
  if (text === '') return {};
  if (isTooDeep(text)) throw tooDeep();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new HearthError('BAD_REQUEST', `The body is not JSON: ${(error as Error).message}.`, { cause: error });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  if (value === null) return {};
  throw new HearthError('BAD_REQUEST', 'The body has to be a JSON object.');
}
