/** The real gateway with arklet's API on a free port, and a client for it. */
import { type StartOptions, startGateway, type TestGateway } from '../../testing/gateway.ts';
import type { ArkletCode, BizInfo, ClientResponse } from '../protocol.ts';

export interface Reply<Data> {
  code: ArkletCode;
  message?: string;
  data: Data;
  errorStackTrace?: string;
}

export interface ArkletGateway extends AsyncDisposable {
  readonly gateway: TestGateway;
  readonly arkletUrl: string;
  /** With the admin token, unless another `authorization` is given. Throws when the status is not 200. */
  command<Data = ClientResponse>(name: string, body?: unknown, authorization?: string): Promise<Reply<Data>>;
  /** As `name:version state`, in order. */
  installed(): Promise<string[]>;
}

export async function startArklet(options: StartOptions = {}): Promise<ArkletGateway> {
  const gateway = await startGateway({ ...options, env: { HEARTH_ARKLET_PORT: '0', ...options.env } });
  const line = gateway
    .output()
    .split('\n')
    .find((text) => text.includes('"msg":"ready"'));
  const { arkletUrl } = JSON.parse(line ?? '{}') as { arkletUrl?: string };
  if (arkletUrl === undefined) {
    await gateway[Symbol.asyncDispose]();
    throw new Error('the ready line names no arklet');
  }

  async function command<Data>(name: string, body: unknown = {}, authorization = `Bearer ${gateway.token}`) {
    const response = await fetch(`${arkletUrl}/${name}`, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (response.status !== 200) throw new Error(`${name} answered ${response.status}: ${await response.text()}`);
    return (await response.json()) as Reply<Data>;
  }

  return {
    gateway,
    arkletUrl,
    command,
    async installed() {
      const { data } = await command<BizInfo[]>('queryAllBiz');
      return data.map(({ bizName, bizVersion, bizState }) => `${bizName}:${bizVersion} ${bizState}`).sort();
    },
    [Symbol.asyncDispose]: () => gateway[Symbol.asyncDispose](),
  };
}
