/**
 * The front door: HTTP in, functions behind it. A function call is written to node:http itself; measured with a dispatcher
 * that answers at once (32 connections, two busy cores, medians): the same path behind Hono with RESPONSE_ALREADY_SENT
 * 48 k/s, direct 52 k/s (1.08 times), a bare node:http server 56 k/s.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { HearthError } from '../../functions/contract/errors.ts';
import { monotonicMs } from '../../functions/contract/invocation.ts';
import { EarlyBody } from '../registry/ask.ts';
import type { Registry } from '../registry/registry.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Dispatcher } from '../triggers/dispatcher.ts';
import { type AccessCheck, whenKnown } from './access.ts';
import type { Assets } from './assets/serve.ts';
import { HttpCall, IngressRequest, IngressResponse } from './call.ts';
import { createLanding } from './landing.ts';
import type { OverrideCheck } from './override.ts';
import { ReadAhead } from './read-ahead.ts';
import { rawProblem, writeProblem } from './response.ts';
import { type Arrived, createRouting, type Routed, readsBody } from './routing.ts';
import { createUpgrades } from './upgrade.ts';

export interface IngressConfig {
  host: string;
  /** 0: a free one. */
  port: number;
  maxBodyBytes: number;
  /** Addresses and ranges whose forwarded headers are believed. */
  trustProxy: string[];
  /** All headers of a request together (default 32 KiB). */
  maxHeaderBytes?: number;
}

export interface IngressParts {
  registry: Pick<Registry, 'route'>;
  dispatcher: Pick<Dispatcher, 'dispatch'>;
  /** Who may say which version serves a request. */
  mayOverride: OverrideCheck;
  /** Who may call a function that is not for everybody, and how often. */
  access: AccessCheck;
  assets: Assets;
  config: IngressConfig;
  log: Logger;
}

export interface Ingress {
  /** Resolves with the bound address; rejects with node's error (EADDRINUSE, EACCES). */
  listen(): Promise<{ host: string; port: number }>;
  /** Takes no new connections, lets what runs end, at most so long, then closes everything. Idempotent. */
  drain(deadlineMs: number): Promise<void>;
  /** Ends at once. */
  close(): void;
  /** Requests and WebSockets that have not ended. */
  readonly inFlight: number;
}

/** Time for a client to send its headers. Bodies have none of their own: the function's timeout bounds them. */
const HEADERS_TIMEOUT_MS = 15_000;
/** Longer than the 60 s of common load balancers, so that they close idle connections and not we under their hands. */
const KEEP_ALIVE_MS = 65_000;

export function createIngress({
  registry,
  dispatcher,
  mayOverride,
  access,
  assets,
  config,
  log,
}: IngressParts): Ingress {
  const { maxBodyBytes, trustProxy } = config;
  const routing = createRouting({ registry, mayOverride, access, maxBodyBytes, trustProxy, local: () => local });
  const landing = createLanding();
  const readAhead = new ReadAhead();
  const callParts = { log, maxBodyBytes };
  let local = 'localhost';
  let inFlight = 0;
  let draining: Promise<void> | null = null;
  let idle: (() => void) | null = null;

  const server: Server<typeof IngressRequest, typeof IngressResponse> = createServer({
    IncomingMessage: IngressRequest,
    ServerResponse: IngressResponse,
    maxHeaderSize: config.maxHeaderBytes ?? 32 * 1024,
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // We answer that with a problem of our own.
    requireHostHeader: false,
    insecureHTTPParser: false,
    // Others (h2c, which curl offers) are served as what they are without it.
    shouldUpgradeCallback: (req) => req.headers.upgrade?.toLowerCase() === 'websocket',
  });
  const upgrades = createUpgrades({
    ...callParts,
    dispatcher,
    route(req) {
      const routed = routing.route(req, true);
      return 'match' in routed ? routing.choose(routed, null) : routed;
    },
    ended,
  });
  server.on('request', (req, res) => serve(req, res, false));
  server.on('checkContinue', (req, res) => serve(req, res, true));
  server.on('upgrade', (req, socket, head) => {
    inFlight++;
    upgrades.serve(req, socket, head);
  });
  server.on('connect', (_req, socket: Duplex) => {
    socket.on('error', ignore);
    const error = new HearthError('BAD_REQUEST', 'CONNECT is not served here.');
    socket.end(rawProblem(405, 'Method Not Allowed', error));
  });
  server.on('clientError', onClientError);

  function serve(req: IngressRequest, res: IngressResponse, expectsContinue: boolean): void {
    const arrivedAt = monotonicMs();
    inFlight++;
    res.on('close', ended);
    if (draining !== null) res.shouldKeepAlive = false;
    if (req.method === 'TRACE') {
      writeProblem(req, res, new HearthError('BAD_REQUEST', 'TRACE is not served here.'), 405);
      return;
    }
    const routed = routing.route(req, false);
    if (!('match' in routed)) begin(req, res, routed, arrivedAt, expectsContinue, null);
    else if (readsBody(routed)) chooseByBody(routed, res, expectsContinue);
    else begin(req, res, routing.choose(routed, null), arrivedAt, expectsContinue, null);
  }

  function begin(
    req: IngressRequest,
    res: IngressResponse,
    routed: Routed | HearthError,
    arrivedAt: number,
    expectsContinue: boolean,
    early: EarlyBody | null,
  ): void {
    if (routed instanceof HearthError) {
      refuse(req, res, routed);
      return;
    }
    if (routed.pending !== null) {
      whenKnown(routed.pending, (refused) => {
        const admitted = refused ?? { ...routed, pending: null };
        if (!res.closed) begin(req, res, admitted, arrivedAt, expectsContinue, early);
      });
      return;
    }
    if (routed.site !== null) {
      const asked = { ...routed, site: null };
      const otherwise = () => {
        if (!res.closed) begin(req, res, asked, arrivedAt, expectsContinue, early);
      };
      if (assets.serve(routed.site, req, res, otherwise)) return;
    }
    const call = new HttpCall(callParts, req, res);
    const context = { traceparent: routed.traceparent, hops: 0, arrivedAt };
    const handle = dispatcher.dispatch(routed.entry, routed.version, routed.head, context, call, routed.arm);
    if (expectsContinue && routed.hasBody) res.writeContinue();
    call.begin(handle, routed.hasBody, early);
  }

  function chooseByBody(arrived: Arrived, res: IngressResponse, expectsContinue: boolean): void {
    const { req } = arrived;
    const early = new EarlyBody();
    if (expectsContinue) res.writeContinue();
    readAhead.read(req, res, early, (outcome) => {
      if (outcome === 'gone') return;
      const routed =
        outcome === 'full'
          ? new HearthError('NO_CAPACITY', 'Too many bodies are read at once.', { retryAfterS: 1 })
          : routing.chooseNow(arrived, early);
      // How long the client took to send its body is no time inside Hearth.
      begin(req, res, routed, monotonicMs(), false, early);
    });
  }

  function refuse(req: IngressRequest, res: IngressResponse, error: HearthError): void {
    const reading = req.method === 'GET' || req.method === 'HEAD';
    if (error.code !== 'NO_ROUTE' || !reading || req.url !== '/') {
      writeProblem(req, res, error);
      return;
    }
    landing(req, res).catch((cause: unknown) => {
      log.error('The landing page failed.', { error: cause });
      res.destroy();
    });
  }

  function ended(): void {
    inFlight--;
    if (inFlight === 0) idle?.();
  }

  return {
    get inFlight() {
      return inFlight;
    },
    listen: () =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host: config.host, port: config.port, backlog: 2048 }, () => {
          server.off('error', reject);
          server.on('error', (error) => log.error('The function port failed.', { error }));
          const { address, port, family } = server.address() as AddressInfo;
          local = `${family === 'IPv6' ? `[${address}]` : address}:${port}`;
          resolve({ host: address, port });
        });
      }),
    drain(deadlineMs) {
      draining ??= new Promise<void>((resolve) => {
        server.close();
        server.closeIdleConnections();
        upgrades.drain();
        if (inFlight === 0) {
          resolve();
          return;
        }
        const timer = setTimeout(resolve, deadlineMs);
        idle = () => {
          clearTimeout(timer);
          resolve();
        };
      }).then(close);
      return draining;
    },
    close,
  };

  function close(): void {
    server.close();
    upgrades.close();
    server.closeAllConnections();
  }
}

/** What node's parser refuses, or a client that takes too long for its headers. */
function onClientError(error: Error & { code?: string }, socket: Duplex): void {
  // With an answer under way on this connection there is no place for another one.
  const busy = (socket as { _httpMessage?: unknown })._httpMessage;
  if (error.code === 'ECONNRESET' || !socket.writable || (busy !== undefined && busy !== null)) {
    socket.destroy();
    return;
  }
  const [status, reason, detail] = answerTo(error.code);
  socket.end(rawProblem(status, reason, new HearthError('BAD_REQUEST', detail)), () => socket.destroy());
}

function answerTo(code: string | undefined): [status: number, reason: string, detail: string] {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return [431, 'Request Header Fields Too Large', 'The headers of the request are too large.'];
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return [413, 'Payload Too Large', 'The chunk extensions of the request are too large.'];
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return [408, 'Request Timeout', 'The request took too long to arrive.'];
    default:
      return [400, 'Bad Request', `The request is not valid HTTP (${code ?? 'unknown'}).`];
  }
}

function ignore(): void {
  // The connection is given up anyway.
}
