import { startGateway, type TestGateway } from '../../gateway/testing/gateway.ts';
import type { Peer } from './peer.ts';

export interface HearthPeer extends Peer {
  readonly gateway: TestGateway;
}

/** The default of HEARTH_WARM_BASES. */
export const WARM_BASES = 8;

/** A gateway of its own with the settings a user has who set none. */
export async function startHearth(source: string): Promise<HearthPeer> {
  const gateway = await startGateway({ env: { HEARTH_WARM_BASES: String(WARM_BASES) } });
  try {
    await gateway.deploy('bench', source);
  } catch (error) {
    await gateway[Symbol.asyncDispose]();
    throw error;
  }
  return {
    name: 'hearth',
    port: Number(new URL(gateway.url).port),
    path: '/bench',
    pid: gateway.pid,
    gateway,
    [Symbol.asyncDispose]: () => gateway[Symbol.asyncDispose](),
  };
}
